"""What crosses between C and Python is written down twice; here the two are held equal."""

import ctypes
import re
from pathlib import Path

import pytest

from oomctl import resources
from oomctl.answer import Stage
from oomctl.kernel import libbpf
from oomctl.kernel.hogs import Step
from oomctl.kernel.loader import AnswerStruct, CallStruct

ROOT = Path(__file__).parents[2]
STRUCT, ENUM = 4, 6  # BTF_KIND_*, include/uapi/linux/btf.h


class Type(ctypes.Structure):
    _fields_ = [
        ("name_off", ctypes.c_uint32),
        ("info", ctypes.c_uint32),
        ("size", ctypes.c_uint32),
    ]


class Member(ctypes.Structure):
    _fields_ = [
        ("name_off", ctypes.c_uint32),
        ("type", ctypes.c_uint32),
        ("bit_offset", ctypes.c_uint32),
    ]


class Value(ctypes.Structure):
    _fields_ = [("name_off", ctypes.c_uint32), ("value", ctypes.c_int32)]


@pytest.fixture(scope="module")
def btf():
    lib = libbpf.library()
    parse = lib.btf__parse_elf
    parse.restype, parse.argtypes = ctypes.c_void_p, [ctypes.c_char_p, ctypes.c_void_p]
    handle = parse(str(resources.built("oomctl.bpf.o")).encode(), None)
    assert handle
    yield handle
    lib.btf__free(handle)


def fields(btf, name):
    """Return (name, offset, size) of each member, as clang wrote it into the object."""
    lib = libbpf.library()
    type_id = lib.btf__find_by_name_kind(btf, name.encode(), STRUCT)
    assert type_id > 0, f"{name} is not in the object's BTF"
    address = lib.btf__type_by_id(btf, type_id)
    count = Type.from_address(address).info & 0xFFFF
    members = (Member * count).from_address(address + ctypes.sizeof(Type))
    return lib.btf__resolve_size(btf, type_id), [
        (
            lib.btf__name_by_offset(btf, member.name_off).decode(),
            member.bit_offset // 8,
            lib.btf__resolve_size(btf, member.type),
        )
        for member in members
    ]


@pytest.mark.parametrize(
    ("name", "struct"), [("oomctl_call", CallStruct), ("oomctl_answer", AnswerStruct)]
)
def test_a_struct_is_the_same_to_ctypes_and_to_the_program(btf, name, struct):
    ours = [
        (field, getattr(struct, field).offset, getattr(struct, field).size)
        for field, _kind in struct._fields_
    ]
    assert fields(btf, name) == (ctypes.sizeof(struct), ours)


@pytest.mark.parametrize("struct", [CallStruct, AnswerStruct])
def test_a_struct_has_no_padding_that_could_leak_or_differ(struct):
    assert sum(getattr(struct, field).size for field, _ in struct._fields_) == ctypes.sizeof(struct)


def c_enum(path: str, name: str) -> dict[str, int]:
    """Read `enum name { A, B = 3, ... }` from a C file."""
    text = re.sub(r"/\*.*?\*/", "", (ROOT / path).read_text(), flags=re.DOTALL)
    body = re.search(rf"enum {name} {{(.*?)}};", text, re.DOTALL)[1]
    values, following = {}, 0
    for each in filter(None, map(str.strip, body.split(","))):
        key, _, value = map(str.strip, each.partition("="))
        values[key] = int(value) if value else following
        following = values[key] + 1
    return values


def test_the_stages_are_those_of_the_program(btf):
    lib = libbpf.library()
    type_id = lib.btf__find_by_name_kind(btf, b"oomctl_stage", ENUM)
    address = lib.btf__type_by_id(btf, type_id)
    count = Type.from_address(address).info & 0xFFFF
    values = (Value * count).from_address(address + ctypes.sizeof(Type))
    theirs = {lib.btf__name_by_offset(btf, v.name_off).decode(): v.value for v in values}
    assert theirs == {f"OOMCTL_{stage.name}": stage.value for stage in Stage}


def test_the_steps_are_those_of_the_hog():
    ours = {step.name: step.value for step in Step if step is not Step.START}
    assert c_enum("oomctl/hog/hog.c", "step") == ours
    assert Step.START not in ours.values()


def test_the_object_has_what_the_loader_asks_for():
    """By opening it; loading needs root and the kfunc."""
    lib = libbpf.library()
    handle, error = libbpf.call(
        lib.bpf_object__open_file, str(resources.built("oomctl.bpf.o")).encode(), None
    )
    assert handle, error
    try:
        assert lib.bpf_object__find_program_by_name(handle, b"declare")
        assert lib.bpf_object__find_map_by_name(handle, b"answers")
        assert not lib.bpf_object__find_program_by_name(handle, b"nonsense")
    finally:
        lib.bpf_object__close(handle)
