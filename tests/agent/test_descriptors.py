from __future__ import annotations

import os
import socket

import pytest
from modctl.agent import descriptors
from modctl.agent.descriptors import OwnedSocket, Waker


@pytest.fixture(params=["cookie", "inode"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With and without a kernel that gives every socket a number of its own."""
    if request.param == "inode":
        monkeypatch.setattr(descriptors, "_SO_COOKIE", 9999)
    return str(request.param)


def owned() -> tuple[OwnedSocket, socket.socket]:
    ours, other = socket.socketpair()
    return OwnedSocket(ours), other


@pytest.mark.parametrize("takes_it", ["socket", "file", "pipe"])
def test_a_number_that_the_host_has_taken_is_not_ours_and_is_left_alone(kind: str, takes_it: str) -> None:
    end, other = owned()
    assert end.ours()
    number = end.fd
    os.close(number)
    spare = {
        "socket": lambda: [socket.socket().detach()],
        "file": lambda: [os.open(os.devnull, os.O_RDWR)],
        "pipe": lambda: list(os.pipe()),
    }[takes_it]()
    if number not in spare:
        os.dup2(spare[0], number)
    assert not end.ours()
    end.close()
    os.fstat(number)  # still the host's
    for each in {number, *spare}:
        os.close(each)
    other.close()


def test_a_number_that_the_host_has_closed_is_not_ours(kind: str) -> None:
    end, other = owned()
    os.close(end.fd)
    assert not end.ours()
    end.close()
    end.close()
    other.close()


def test_a_wake_up_never_lands_in_the_host_s_file(kind: str, tmp_path: object) -> None:
    waker = Waker()
    assert waker.wake()
    assert waker.drain() == b"."
    ends = [waker.read_end.fd, waker.write_end.fd]
    host_read, host_write = os.pipe2(os.O_NONBLOCK)
    for number, host in zip(ends, (host_read, host_write), strict=True):
        os.dup2(host, number, inheritable=False)
    assert not waker.ours()
    assert not waker.wake()
    os.write(host_write, b"mine")
    assert waker.drain() == b""
    assert os.read(host_read, 10) == b"mine"
    waker.close()
    for number in [*ends, host_read, host_write]:
        os.close(number)


def test_a_full_waker_still_wakes() -> None:
    waker = Waker()
    assert all(waker.wake() for _ in range(5000))
    assert set(waker.drain()) == {ord(".")}
    waker.close()


def test_descriptors_are_not_inherited_by_programs() -> None:
    waker = Waker()
    assert not os.get_inheritable(waker.read_end.fd)
    assert not os.get_inheritable(waker.write_end.fd)
    waker.close()
