from oomctl.describe.reason_text import margin_text


def test_a_margin_is_in_pages_and_bytes_with_its_direction():
    assert margin_text(1, 4096) == "1 page (4K) above"
    assert margin_text(-2048, 4096) == "2,048 pages (8M) below"
    assert margin_text(0, 4096) == "0 pages (0) above"
