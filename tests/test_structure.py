"""Which room may know which: read from the imports, with no exception."""

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "ssl_cli"
# From the ground up. A module imports from lower floors and from its own package; packages of one floor leave each
# other alone.
FLOORS = (
    *({"__init__", "errors", "batch", "photos"}, {"system"}, {"config"}, {"runs"}),
    *({"distributed", "optim"}, {"augment"}, {"data"}),
    *({"backbones"}, {"pretext", "methods"}, {"setup"}, {"probes"}, {"predict", "compare"}, {"pick"}, {"audit"}),
    *({"training"}, {"launch"}, {"report"}),
    *({"export"}, {"commands"}, {"cli", "plugins"}, {"__main__"}),
)
FLOOR = {name: number for number, names in enumerate(FLOORS) for name in names}


@cache
def imports() -> dict[str, set[str]]:
    """Return for each module what it imports of the package, at its top or anywhere below."""
    files = {".".join(file.relative_to(ROOT).with_suffix("").parts): file for file in PACKAGE.rglob("*.py")}
    found = {}
    for module, file in files.items():
        named = set()
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                named |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{module} has a relative import"
                named |= {f"{node.module}.{alias.name}" for alias in node.names}
        ours = {name for name in named if name.split(".")[0] == "ssl_cli"}
        found[module] = {_module(name, files) for name in ours}
    return found


def _module(name: str, files: dict) -> str:
    """Return the module that an imported name is, or stands in."""
    for candidate in (name, f"{name}.__init__", name.rpartition(".")[0], f"{name.rpartition('.')[0]}.__init__"):
        if candidate in files:
            return candidate
    raise AssertionError(f"there is no {name}")


def room(module: str) -> str:
    return module.split(".")[1]


def test_every_room_stands_on_a_floor():
    rooms = {file.stem for file in PACKAGE.iterdir() if file.suffix == ".py" or (file / "__init__.py").is_file()}
    assert rooms == set(FLOOR)
    loose = {file.stem for file in PACKAGE.glob("*.py")} - {"__init__", "__main__"}
    assert len(loose) <= 6, loose


def test_a_module_imports_from_lower_floors_and_its_own_package_only():
    wrong = [
        f"{module} -> {other}"
        for module, others in imports().items()
        for other in others
        if room(module) != room(other) and FLOOR[room(other)] >= FLOOR[room(module)] and FLOOR[room(other)] > 0
    ]
    assert not wrong


def test_no_module_imports_itself_over_others():
    seen: dict[str, bool] = {}  # module -> whether all that it imports is done

    def visit(module: str, way: list[str]) -> None:
        if module in seen:
            assert seen[module], " -> ".join([*way[way.index(module) :], module])
            return
        seen[module] = False
        for other in sorted(imports()[module]):
            visit(other, [*way, module])
        seen[module] = True

    for module in imports():
        visit(module, [])


def test_package_inits_import_nothing():
    for file in PACKAGE.rglob("__init__.py"):
        body = ast.parse(file.read_text()).body
        assert ast.get_docstring(ast.parse(file.read_text())), file
        assert not [node for node in body if isinstance(node, (ast.Import, ast.ImportFrom))], file


def test_rooms_that_every_kind_of_input_goes_through_do_not_speak_of_images_geometry():
    geometry = re.compile(r"\bpixels?\b|\bchannels?\b|image_size|storage_size|\bheight\b|\bwidth\b", re.I)
    for name in ("training", "launch", "runs", "setup"):
        for file in (PACKAGE / name).rglob("*.py"):
            if file.stem == "pictures":  # draws them
                continue
            for number, line in enumerate(file.read_text().splitlines(), 1):
                assert not geometry.search(line), f"{file.name}:{number}: {line.strip()}"


def test_a_file_is_one_room():
    for file in PACKAGE.rglob("*.py"):
        assert len(file.read_text().splitlines()) <= 300, file


def test_the_map_in_contributing_has_every_room():
    rooms = re.findall(r"`ssl_cli/(\w+(?:\.py)?)/?`", (ROOT / "CONTRIBUTING.md").read_text().split("| room |")[1])
    packages = {file.parent.name for file in PACKAGE.glob("*/__init__.py")}
    modules = {file.name for file in PACKAGE.glob("*.py")} - {"__init__.py", "__main__.py"}
    assert set(rooms) == packages | modules
