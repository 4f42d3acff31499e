"""Pickles that would run code if anything executed them, in each place where torch's formats can carry one."""

import io
import os
import pickle
import shutil
import sys
import tarfile
import zipfile

import torch

HERE = "executed"
SHELL = f"touch {HERE}"


class Calls:
    """Pickles as the call of a function."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


def build_gadget():
    """Code that BUILD runs: __setstate__ of a class whose attribute is looked up (one of the published ways)."""
    return b"\x80\x02cbuiltins\ngetattr\ncos\nsystem\n(X\x10\x00\x00\x00touch executed  tR."


GADGETS = {
    "os.system": lambda: pickle.dumps(Calls(os.system, SHELL)),
    "eval": lambda: pickle.dumps(Calls(eval, f"open({HERE!r}, 'w')")),
    "exec": lambda: pickle.dumps(Calls(exec, f"open({HERE!r}, 'w')")),
    "subprocess": lambda: pickle.dumps(Calls(__import__("subprocess").Popen, ["touch", HERE])),
    "global opcode": lambda: b"cos\nsystem\n(S'touch executed'\ntR.",
    "inst opcode": lambda: b"(S'touch executed'\nios\nsystem\n.",
    "obj opcode": lambda: b"(cos\nsystem\nS'touch executed'\no.",
    "getattr chain": build_gadget,
    "torch.load in a pickle": lambda: pickle.dumps(Calls(torch.load, "evil.pt")),
    "runpy": lambda: b'crunpy\n_run_code\n(S\'open("executed","w")\'\n}tR.',
    "pathlib write": lambda: pickle.dumps(
        Calls(__import__("pathlib").Path.write_text, __import__("pathlib").Path(HERE), "x")
    ),
    "shutil": lambda: pickle.dumps(Calls(shutil.copyfile, sys.executable, HERE)),
}
WRAPPED = {  # how torch's formats can carry them
    "raw pickle": lambda gadget: gadget,
    "data.pkl in a zip": lambda gadget: zipped(gadget),
    "second data.pkl in a zip": lambda gadget: zipped(pickle.dumps({}), gadget),
    "legacy": lambda gadget: (
        pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2) + pickle.dumps({}, 2) + gadget
    ),
    "legacy tar": lambda gadget: tarred(gadget),
}


def zipped(*pickles):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for payload in pickles:
            archive.writestr("archive/data.pkl", payload)
        archive.writestr("archive/version", "3\n")
        archive.writestr("archive/byteorder", "little")
    return file.getvalue()


def tarred(payload):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name in ("storages", "tensors", "pickle"):
            info = tarfile.TarInfo(name)
            info.size = len(payload)
            archive.addfile(info, io.BytesIO(payload))
    return file.getvalue()
