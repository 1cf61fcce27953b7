"""What crosses between C and Python is written down twice; here the two are held equal."""

import ctypes
import re
from pathlib import Path

import pytest

from oomctl import resources
from oomctl.bpf import libbpf
from oomctl.bpf.declare import CallResultStruct, CallStruct
from oomctl.bpf.gate import GateLogStruct, GateStruct, Passage
from oomctl.bpf.observer import PROGRAMS, BaseStruct, EventStruct, FiredStruct
from oomctl.bpf.probes import ON_FUNCTIONS
from oomctl.bpf.removed_memcg import RemovalStruct, RemovedMemcgStruct
from oomctl.hog.hogset import Step
from oomctl.oom.call import Stage
from oomctl.oom.event import EventKind

ROOT = Path(__file__).parents[3]
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


def btf_of(name):
    lib = libbpf.library()
    parse = lib.btf__parse_elf
    parse.restype, parse.argtypes = ctypes.c_void_p, [ctypes.c_char_p, ctypes.c_void_p]
    handle = parse(str(resources.built(name)).encode(), None)
    assert handle
    yield handle
    lib.btf__free(handle)


@pytest.fixture(scope="module")
def btf():
    yield from btf_of("declare.bpf.o")


@pytest.fixture(scope="module")
def observer_btf():
    yield from btf_of("observer.bpf.o")


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


STRUCTS = [
    ("declare.bpf.o", "oomctl_call", CallStruct),
    ("declare.bpf.o", "oomctl_call_result", CallResultStruct),
    ("observer.bpf.o", "oomctl_event", EventStruct),
    ("observer.bpf.o", "oomctl_base", BaseStruct),
    ("observer.bpf.o", "oomctl_fired", FiredStruct),
    ("gate.bpf.o", "oomctl_gate", GateStruct),
    ("gate.bpf.o", "oomctl_gate_log", GateLogStruct),
    ("gate.bpf.o", "oomctl_passage", Passage),
    ("removed_memcg.bpf.o", "oomctl_removal", RemovalStruct),
    ("removed_memcg.bpf.o", "oomctl_removed_memcg", RemovedMemcgStruct),
]


@pytest.mark.parametrize(("file", "name", "struct"), STRUCTS)
def test_a_struct_is_the_same_to_ctypes_and_to_the_program(file, name, struct):
    ours = [
        (field, getattr(struct, field).offset, getattr(struct, field).size)
        for field, _kind in struct._fields_
    ]
    for btf in btf_of(file):
        assert fields(btf, name) == (ctypes.sizeof(struct), ours)


def test_every_program_of_the_observer_is_counted():
    assert [name for name, _type in FiredStruct._fields_] == [each.name for each in PROGRAMS]


@pytest.mark.parametrize("struct", [struct for _file, _name, struct in STRUCTS])
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


def enumerators(btf, name):
    """Return the values of an enum by name, as clang wrote it into the object."""
    lib = libbpf.library()
    type_id = lib.btf__find_by_name_kind(btf, name.encode(), ENUM)
    assert type_id > 0, f"{name} is not in the object's BTF"
    address = lib.btf__type_by_id(btf, type_id)
    count = Type.from_address(address).info & 0xFFFF
    values = (Value * count).from_address(address + ctypes.sizeof(Type))
    return {lib.btf__name_by_offset(btf, v.name_off).decode(): v.value for v in values}


def test_the_stages_are_those_of_the_program(btf):
    theirs = enumerators(btf, "oomctl_stage")
    assert theirs == {f"OOMCTL_{stage.name}": stage.value for stage in Stage}


def test_the_kinds_of_event_are_those_of_the_observer(observer_btf):
    theirs = enumerators(observer_btf, "oomctl_event_kind")
    assert theirs == {f"OOMCTL_{kind.name}": kind.value for kind in EventKind}


def test_the_steps_are_those_of_the_hog():
    ours = {step.name: step.value for step in Step if step is not Step.START}
    assert c_enum("oomctl/hog/hog.c", "step") == ours
    assert Step.START not in ours.values()


def test_the_object_has_what_declare_asks_for():
    """By opening it; loading needs root and the kfunc."""
    lib = libbpf.library()
    handle, error = libbpf.call(
        lib.bpf_object__open_file, str(resources.built("declare.bpf.o")).encode(), None
    )
    assert handle, error
    try:
        assert lib.bpf_object__find_program_by_name(handle, b"declare")
        assert lib.bpf_object__find_map_by_name(handle, b"call_results")
        assert not lib.bpf_object__find_program_by_name(handle, b"nonsense")
    finally:
        lib.bpf_object__close(handle)


def test_the_object_has_what_the_observer_asks_for():
    lib = libbpf.library()
    lib.bpf_program__section_name.restype = ctypes.c_char_p
    lib.bpf_program__section_name.argtypes = [ctypes.c_void_p]
    handle, error = libbpf.call(
        lib.bpf_object__open_file, str(resources.built("observer.bpf.o")).encode(), None
    )
    assert handle, error
    try:
        for program in PROGRAMS:
            found = lib.bpf_object__find_program_by_name(handle, program.name.encode())
            assert found, program
            section = lib.bpf_program__section_name(found).decode()
            assert (program.name in ON_FUNCTIONS) == section.startswith(("fentry/", "fexit/"))
        for name in (b"base", b"events", b"losses", b"fired", b"paths", b"told", b"scratch"):
            assert lib.bpf_object__find_map_by_name(handle, name)
    finally:
        lib.bpf_object__close(handle)
