"""Read a MetaTrader5 win_amd64 wheel and return its public contract: constants, functions and struct fields.

Standard library only. Constants come from `__init__.py` by its syntax tree; struct fields, doc strings and the table
of methods from the data tables of the extension module (a PE file), which is never run.

`python tests/contract/mt5_contract_extract.py WHEEL` prints JSON.
"""

import ast
import json
import struct
import sys
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

MAX_DOC = 4000
MAX_NAME = 60


class Section(NamedTuple):
    """A section of the image: name, address and size in memory."""

    name: str
    address: int
    size: int


def value_of(node: ast.expr) -> Any:
    """The value of a literal, also where two are joined by `|` or `+` (TIMEFRAME_H1 is 1 | 0x4000)."""
    match node:
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return value_of(left) | value_of(right)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return value_of(left) + value_of(right)
    return ast.literal_eval(node)


def constants_of(source: str) -> dict[str, Any]:
    """The top-level names that are assigned a literal."""
    found: dict[str, Any] = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            try:
                found[node.targets[0].id] = value_of(node.value)
            except ValueError:
                # Not a literal: something computed, which is no constant of the contract.
                continue
    return found


class Image:
    """A PE file as it lies in memory: enough of it to follow pointers to strings."""

    def __init__(self, content: bytes) -> None:
        header = struct.unpack_from("<I", content, 0x3C)[0]
        count, optional_size = struct.unpack_from("<H", content, header + 6)[0], self._u16(content, header + 20)
        optional = header + 24
        self._base = struct.unpack_from("<Q", content, optional + 24)[0]
        self.memory = bytearray(struct.unpack_from("<I", content, optional + 56)[0])
        self.sections: list[Section] = []
        for place in range(count):
            entry = optional + optional_size + 40 * place
            name = content[entry : entry + 8].rstrip(b"\0").decode()
            size, address, raw_size, raw = struct.unpack_from("<IIII", content, entry + 8)
            length = min(raw_size, size)
            self.memory[address : address + length] = content[raw : raw + length]
            self.sections.append(Section(name, address, size))
        self.imports = self._imports(struct.unpack_from("<I", content, optional + 112 + 8)[0])

    @staticmethod
    def _u16(content: bytes, offset: int) -> int:
        value: int = struct.unpack_from("<H", content, offset)[0]
        return value

    def _imports(self, table: int) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        while True:
            original, _, _, name, first = struct.unpack_from("<IIIII", self.memory, table)
            if not name:
                return found
            names = []
            entry = original or first
            while value := struct.unpack_from("<Q", self.memory, entry)[0]:
                if not value >> 63:
                    names.append(self._string((value & 0x7FFFFFFF) + 2))
                entry += 8
            found[self._string(name).lower()] = sorted(names)
            table += 20

    def _string(self, address: int) -> str:
        return bytes(self.memory[address : self.memory.find(b"\0", address)]).decode()

    def pointer(self, address: int) -> int | None:
        """Where a pointer points: None for null, -1 for outside of the image."""
        value: int = struct.unpack_from("<Q", self.memory, address)[0]
        if value == 0:
            return None
        inside = 0 < value - self._base < len(self.memory)
        return value - self._base if inside else -1

    def text(self, address: int) -> str | None:
        """The printable string at an address, or None when there is none."""
        try:
            found = self._string(address)
        except UnicodeDecodeError:
            return None
        printable = all(letter.isprintable() or letter in "\r\n\t" for letter in found)
        return found if found and len(found) < MAX_DOC and printable else None

    def name_at(self, address: int) -> str | None:
        """The identifier that the pointer at an address points to, or None."""
        target = self.pointer(address)
        if target is None or target < 0:
            return None
        found = self.text(target)
        return found if found and len(found) < MAX_NAME and found.isidentifier() and found.isascii() else None

    def section(self, name: str) -> Section:
        """The section of that name."""
        return next(section for section in self.sections if section.name == name)


def methods_of(image: Image) -> dict[str, dict[str, Any]]:
    """The PyMethodDef entries: name, function, flags, doc string."""
    data, code = image.section(".data"), image.section(".text")
    found: dict[str, dict[str, Any]] = {}
    for address in range(data.address, data.address + data.size - 32, 8):
        name = image.name_at(address)
        function, doc = image.pointer(address + 8), image.pointer(address + 24)
        if name is None or function is None or doc is None or doc < 0:
            continue
        text = image.text(doc)
        if code.address <= function < code.address + code.size and text:
            found[name] = {"flags": struct.unpack_from("<I", image.memory, address + 16)[0], "doc": text}
    return found


def field_tables_of(image: Image) -> dict[int, list[str]]:
    """The PyStructSequence_Field arrays, by address."""
    data = image.section(".data")
    end = data.address + data.size - 16
    found: dict[int, list[str]] = {}
    address = data.address
    while address < end:
        fields: list[str] = []
        entry = address
        while entry < end and (name := image.name_at(entry)) is not None:
            doc = image.pointer(entry + 8)
            if doc is not None and (doc < 0 or not image.text(doc)):
                break
            fields.append(name)
            entry += 16
        if len(fields) >= 4:
            found[address] = fields
            address = entry
        else:
            address += 8
    return found


def structs_of(image: Image, tables: dict[int, list[str]]) -> dict[str, dict[str, Any]]:
    """The PyStructSequence_Desc entries: name, doc string, fields, number of fields in the sequence."""
    found: dict[str, dict[str, Any]] = {}
    for section in image.sections:
        if section.name not in (".data", ".rdata"):
            continue
        for address in range(section.address, section.address + section.size - 32, 8):
            fields = image.pointer(address + 16)
            if fields in tables and (name := image.name_at(address)) is not None:
                count = struct.unpack_from("<i", image.memory, address + 24)[0]
                found[name] = {"fields": tables[fields], "n_in_sequence": count}
    return found


def extract(wheel: Path) -> dict[str, Any]:
    """The contract of a wheel, in the form of engine/paper/mt5_contract.json."""
    with zipfile.ZipFile(wheel) as archive:
        source = archive.read("MetaTrader5/__init__.py").decode()
        extension = next(name for name in archive.namelist() if name.endswith(".pyd"))
        image = Image(archive.read(extension))
    constants = constants_of(source)
    tables = field_tables_of(image)
    structs = structs_of(image, tables)
    matched = [definition["fields"] for definition in structs.values()]
    return {
        "version": constants.get("__version__"),
        "constants": {name: value for name, value in constants.items() if isinstance(value, int)},
        "python_functions": [node.name for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)],
        "methods": methods_of(image),
        "structs": structs,
        "unmatched_field_tables": [fields for fields in tables.values() if fields not in matched],
        "releases_gil": any("PyEval_SaveThread" in names for names in image.imports.values()),
        "kernel32": image.imports.get("kernel32.dll"),
    }


if __name__ == "__main__":
    json.dump(extract(Path(sys.argv[1])), sys.stdout, indent=1)
