"""Writes `core/messages.h` and `../drivers/messages.py` from `messages.toml`; `--check` only compares."""

import argparse
import re
import sys
import tomllib
import zlib
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
TABLE = HERE / "messages.toml"
C_HEADER = HERE / "core" / "messages.h"
PYTHON_MODULE = HERE.parent / "drivers" / "messages.py"
NOTICE = "generated from firmware/messages.toml by firmware/generate.py, do not edit"

MAX_BODY_BYTES = 48
WIDTH_BYTES = {"u8": 1, "u16": 2, "u32": 4, "i16": 2, "i24": 3, "i32": 4}
C_TYPE = {
    "u8": "uint8_t",
    "u16": "uint16_t",
    "u32": "uint32_t",
    "i16": "int16_t",
    "i24": "int32_t",
    "i32": "int32_t",
}
# struct has no 24 bits: the low two bytes and the high one are packed apart.
STRUCT_CODE = {"u8": "B", "u16": "H", "u32": "I", "i16": "h", "i24": "Hb", "i32": "i"}

Table = dict[str, Any]


def kind_of(field: Table) -> tuple[str, int]:
    """A field's element type and how many of them; 0 for a single value."""
    match = re.fullmatch(r"([ui]\d+)(?:\[(\d+)\])?", field["type"])
    if match is None or match[1] not in WIDTH_BYTES:
        raise SystemExit(f"{TABLE.name}: field {field['name']!r} has unknown type {field['type']!r}")
    return match[1], int(match[2] or 0)


def size_of(message: Table) -> int:
    """Bytes of a message's body."""
    size = 0
    for field in message["fields"]:
        kind, count = kind_of(field)
        size += WIDTH_BYTES[kind] * max(count, 1)
    if size > MAX_BODY_BYTES:
        raise SystemExit(f"{TABLE.name}: {message['name']!r} has {size} bytes, at most {MAX_BODY_BYTES} fit")
    return size


def hash_of(table: Table) -> int:
    """CRC-32 of what matters on the wire: names, numbers and types, but no wording."""
    lines = [f"enum {enum['name']} {' '.join(v['name'] for v in enum['values'])}" for enum in table["enum"]]
    for message in table["message"]:
        fields = " ".join(f"{field['name']}:{field['type']}" for field in message["fields"])
        lines.append(
            f"{message['type']} {message['name']} {message['delivery']} {message['sender']} {fields}"
        )
    return zlib.crc32("\n".join(lines).encode())


def camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


def c_header(table: Table) -> str:
    """The C side: numbers, structs, and functions between structs and bytes."""
    out = [f"/* {NOTICE} */", "#ifndef NOD_MESSAGES_H", "#define NOD_MESSAGES_H"]
    out += ["", '#include "bytes.h"', ""]
    out.append(f"#define TABLE_HASH 0x{hash_of(table):08X}u")
    out.append(f"#define MAX_BODY_BYTES {MAX_BODY_BYTES}u")
    for enum in table["enum"]:
        out += ["", f"/* {enum['doc']} */", "enum {"]
        for number, value in enumerate(enum["values"]):
            out.append(f"    {enum['name'].upper()}_{value['name'].upper()} = {number}, /* {value['doc']} */")
        out.append("};")
    out += ["", "enum {"]
    out += [f"    TYPE_{m['name'].upper()} = {m['type']}," for m in table["message"]]
    out.append("};")
    for message in table["message"]:
        out += ["", *_c_message(message)]
    out += ["", "/* Length of a type's body, or -1 for a type that a host never sends. */"]
    out += ["static inline int host_body_size(uint8_t type)", "{", "    switch (type) {"]
    for message in table["message"]:
        if message["sender"] == "host":
            out.append(f"    case TYPE_{message['name'].upper()}: return {size_of(message)};")
    out += ["    default: return -1;", "    }", "}", "", "static inline int is_reliable(uint8_t type)", "{"]
    reliable = [f"type == TYPE_{m['name'].upper()}" for m in table["message"] if m["delivery"] == "reliable"]
    out += ["    return " + "\n        || ".join(reliable) + ";", "}", "", "#endif", ""]
    return "\n".join(out)


def _c_message(message: Table) -> list[str]:
    name = message["name"]
    out = [f"/* {message['doc']} */", f"#define {name.upper()}_BYTES {size_of(message)}u"]
    if not message["fields"]:
        return out
    out.append("typedef struct {")
    for field in message["fields"]:
        kind, count = kind_of(field)
        out.append(f"    {C_TYPE[kind]} {field['name']}{f'[{count}]' if count else ''};")
    out.append(f"}} {name}_t;")
    read = message["sender"] == "host"
    if read:
        out += [f"static inline {name}_t read_{name}(const uint8_t *body)", "{", f"    {name}_t message;"]
    else:
        out += [f"static inline void write_{name}(uint8_t *body, const {name}_t *message)", "{"]
    offset = 0
    for field in message["fields"]:
        kind, count = kind_of(field)
        for place in range(max(count, 1)):
            member = field["name"] + (f"[{place}]" if count else "")
            if read:
                out.append(f"    message.{member} = get_{kind}(body + {offset});")
            else:
                out.append(f"    put_{kind}(body + {offset}, message->{member});")
            offset += WIDTH_BYTES[kind]
    return [*out, *(["    return message;"] if read else []), "}"]


def python_module(table: Table) -> str:
    """The Python side: enums and one struct a message, with `pack` and `unpack`."""
    out = [f'"""Every message between host and board. {NOTICE.capitalize()}."""', ""]
    out += ["import enum", "import struct", "from typing import Any, ClassVar", "", "import msgspec", ""]
    out += [f"TABLE_HASH = 0x{hash_of(table):08X}", f"MAX_BODY_BYTES = {MAX_BODY_BYTES}"]
    for enum in table["enum"]:
        out += ["", "", f"class {camel(enum['name'])}(enum.IntEnum):", f'    """{enum["doc"]}"""', ""]
        for number, value in enumerate(enum["values"]):
            out.append(f"    {value['name'].upper()} = {number}  # {value['doc']}")
    for message in table["message"]:
        out += ["", "", *_python_message(message)]
    union = " | ".join(camel(m["name"]) for m in table["message"])
    out += ["", "", f"Message = {union}", ""]
    out.append("BY_TYPE: dict[int, type[Any]] = {")
    out += [f"    {m['type']}: {camel(m['name'])}," for m in table["message"]]
    out += ["}", '"""The struct of each type number."""', ""]
    return "\n".join(out)


def _python_message(message: Table) -> list[str]:
    out = [f"class {camel(message['name'])}(msgspec.Struct, frozen=True, kw_only=True):"]
    out += [f'    """{message["doc"]} ({message["delivery"]}, from the {message["sender"]})"""', ""]
    out += [f"    TYPE: ClassVar[int] = {message['type']}", f"    SIZE: ClassVar[int] = {size_of(message)}"]
    layout, packed, unpacked, places = "<", [], [], 0
    for field in message["fields"]:
        kind, count = kind_of(field)
        kind_text = "int" if not count else f"tuple[{', '.join(['int'] * count)}]"
        out.append(f"    {field['name']}: {kind_text}" + (f"  # {field['doc']}" if "doc" in field else ""))
        layout += STRUCT_CODE[kind] * max(count, 1)
        values = []
        for place in range(max(count, 1)):
            member = f"self.{field['name']}" + (f"[{place}]" if count else "")
            packed += [f"{member} & 0xFFFF", f"{member} >> 16"] if kind == "i24" else [member]
            values.append(f"v[{places}] | v[{places + 1}] << 16" if kind == "i24" else f"v[{places}]")
            places += len(STRUCT_CODE[kind])
        unpacked.append(f"{field['name']}=" + (f"({', '.join(values)})" if count else values[0]))
    out += [f'    _LAYOUT: ClassVar[struct.Struct] = struct.Struct("{layout}")', ""]
    out.append("    def pack(self) -> bytes:")
    out.append('        """The body\'s bytes; struct.error if a number does not fit."""')
    out += ["        return self._LAYOUT.pack(", *(f"            {p}," for p in packed), "        )", ""]
    out += ["    @classmethod", f'    def unpack(cls, body: bytes) -> "{camel(message["name"])}":']
    out.append('        """From a body of SIZE bytes."""')
    if not unpacked:
        return [*out, "        return cls()"]
    out += ["        v = cls._LAYOUT.unpack(body)", "        return cls("]
    return [*out, *(f"            {u}," for u in unpacked), "        )"]


def main() -> int:
    """Write both files, or with `--check` say which of them is stale (exit code 1)."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if a file is stale")
    check = parser.parse_args().check
    table = tomllib.loads(TABLE.read_text(encoding="utf-8"))
    stale = False
    for path, text in ((C_HEADER, c_header(table)), (PYTHON_MODULE, python_module(table))):
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale = True
        if not check:
            path.write_text(text, encoding="utf-8")
        verb = "is stale; run python firmware/generate.py" if check else "written"
        sys.stdout.write(f"{path.relative_to(HERE.parent)} {verb}\n")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
