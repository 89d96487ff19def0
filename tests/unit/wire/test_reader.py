"""The reader believes no length that the window around it doesn't hold."""

import pytest

from ipsecd.errors import WireError
from ipsecd.wire.reader import Reader


def test_fields_are_read_in_network_order() -> None:
    r = Reader(bytes.fromhex("01 0203 04050607 08090a0b0c0d0e0f 1011 12"))
    assert (r.u8(), r.u16(), r.u32(), r.u64()) == (1, 0x0203, 0x04050607, 0x08090A0B0C0D0E0F)
    assert r.remaining == 3
    assert r.take(2) == b"\x10\x11"
    assert r.rest() == b"\x12"
    r.end()


def test_unpack_reads_several_fields_at_once() -> None:
    r = Reader(bytes.fromhex("0102030405"))
    assert r.unpack("!BHB") == (1, 0x0203, 4)
    assert r.rest() == b"\x05"


def test_peek_leaves_the_octet_where_it_is() -> None:
    r = Reader(b"ab")
    assert (r.peek(0), r.peek(1), r.take(2)) == (ord("a"), ord("b"), b"ab")
    with pytest.raises(WireError, match=r"^truncated"):
        r.peek(0)


def test_what_is_taken_is_a_copy_of_its_own() -> None:
    source = bytearray(b"key")
    taken = Reader(memoryview(source)).take(3)
    source[:] = b"---"
    assert taken == b"key"


@pytest.mark.parametrize("read", ["u16", "u32", "u64"])
def test_reading_past_the_end_is_truncation_and_says_where(read: str) -> None:
    r = Reader(b"\x00\x01", base=100)
    r.u8()
    with pytest.raises(WireError) as caught:
        getattr(r, read)()
    assert (caught.value.reason, caught.value.offset) == ("truncated", 101)


def test_a_failed_read_takes_nothing() -> None:
    r = Reader(b"abc")
    with pytest.raises(WireError):
        r.take(4)
    assert r.rest() == b"abc"


def test_a_window_ends_where_it_says() -> None:
    r = Reader(b"abcdef")
    with r.window(2) as w:
        assert w.take(2) == b"ab"
        with pytest.raises(WireError, match=r"^truncated"):
            w.u8()
    assert r.rest() == b"cdef"


def test_leaving_a_window_early_is_an_error_at_the_octet_left() -> None:
    r = Reader(b"abcdef")
    r.u8()
    with pytest.raises(WireError) as caught, r.window(3) as w:
        w.u8()
    assert (caught.value.reason, caught.value.offset) == ("trailing-octets", 2)


def test_returning_from_inside_a_window_early_is_an_error_too() -> None:
    def read() -> int:
        with Reader(b"abcdef").window(3) as w:
            return w.u8()

    with pytest.raises(WireError, match=r"^trailing-octets"):
        read()


def test_an_error_inside_a_window_is_not_covered_up_by_what_was_left() -> None:
    with pytest.raises(WireError, match=r"^bad-thing"), Reader(b"abc").window(2):
        raise WireError("bad-thing")


def test_a_window_larger_than_what_is_left_is_truncation() -> None:
    r = Reader(b"abc")
    with pytest.raises(WireError, match=r"^truncated: 4 octets wanted, 3 left at offset 0"), r.window(4):
        pass


def test_a_window_smaller_than_nothing_is_a_bad_length() -> None:
    with pytest.raises(WireError, match=r"^bad-length"), Reader(b"abc").window(-1):
        pass


def test_windows_nest_and_offsets_count_from_the_outermost_octet() -> None:
    r = Reader(bytes(range(16)), base=28)
    r.take(2)
    with r.window(10) as outer:
        outer.take(3)
        with outer.window(4) as inner:
            assert inner.offset == 33
            assert inner.u32() == 0x05060708
        assert outer.rest() == bytes([9, 10, 11])
    assert r.rest() == bytes([12, 13, 14, 15])


def test_an_empty_window_is_fine() -> None:
    r = Reader(b"")
    with r.window(0) as w:
        assert w.rest() == b""
    r.end()


@pytest.mark.parametrize("octets", [b"ab", b"abcd"])
def test_a_bounded_rest_has_so_many_octets(octets: bytes) -> None:
    assert Reader(octets).bounded(4, "wrong", least=2) == octets


@pytest.mark.parametrize("octets", [b"a", b"abcde"])
def test_another_rest_is_refused_for_the_reason_given(octets: bytes) -> None:
    with pytest.raises(WireError, match=f"^wrong: {len(octets)} octets, not 2 to 4 at offset 7"):
        Reader(octets, base=7).bounded(4, "wrong", least=2)


def test_of_a_long_rest_the_beginning_is_kept_and_all_is_read() -> None:
    r = Reader(b"abcde")
    assert r.beginning(3) == b"abc"
    r.end()
