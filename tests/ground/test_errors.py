from chexnet.errors import InputError


def test_a_message_is_one_printable_line():
    assert str(InputError("a.png: \x1b[2J\x07 found\nhere, 中文 é")) == "a.png: \\x1b[2J\\x07 found here, 中文 é"
