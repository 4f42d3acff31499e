"""Files that look like images, or hold some, and that Pillow cannot open: advice for each kind."""

import contextlib
import functools

_HEIF = "heic heics heif heifs hif"
_REASONS = {
    _HEIF: "they need pillow-heif: pip install 'ssl-cli[heif]'",
    "avif": "they need Pillow 11.3 or newer",
    "jxl": "Pillow does not read JPEG XL: convert them to PNG",
    "3fr arw cr2 cr3 crw dcr dng erf iiq kdc mef mos mrw nef nrw orf pef raf raw rw2 rwl sr2 srf srw x3f": (
        "raw images of a camera: convert them to TIFF or PNG"
    ),
    "ai emf eps pdf svg svgz wmf": "drawings: export them as PNG",
    "dcm dicom mha mhd nii nrrd": "medical images: export them as PNG or TIFF",
    "h5 hdf5 lmdb mat npy npz parquet tfrecord": "arrays: save each image as a file",
    "avi m4v mkv mov mp4 mpeg mpg webm wmv": "videos: write dataset=clips",
}
ARCHIVES = dict.fromkeys((".7z", ".bz2", ".gz", ".rar", ".tar", ".tgz", ".xz", ".zip"), "archives: unpack them")
WHY_NOT = {f".{ending}": why for endings, why in _REASONS.items() for ending in endings.split()} | ARCHIVES


@functools.cache
def register_plug_ins() -> None:
    """Let Pillow open formats of installed plug-ins: HEIC by pillow-heif. Call it before asking for the endings."""
    with contextlib.suppress(ImportError):
        import pillow_heif

        pillow_heif.register_heif_opener()
