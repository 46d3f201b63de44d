"""What strangers may cost, and the filter that takes their connections more seldom."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import sys
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modctl.gateway import strangers, turnstile
from modctl.gateway.strangers import BURST_S, EVERY_S, HOLD_S, SELDOMEST, SHARE, Budget, Strangers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from modctl.gateway.turnstile import IPAddress

HERE, THERE = ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("127.0.0.2")
TRIES = 120
linux = pytest.mark.skipif(sys.platform != "linux", reason="filters of sockets are Linux's")


class Clock:
    """A budget, and the time and the processors that it is told of."""

    def __init__(self) -> None:
        self.now_s, self.cpu_s = 1000.0, 5.0
        self.budget = Budget(self.now_s, self.cpu_s)

    def run(self, seconds: float, share: float, *, known: bool = False) -> list[int]:
        """So long at so much of a processor; the level after each look."""
        levels = []
        for _ in range(round(seconds / EVERY_S)):
            self.now_s += EVERY_S
            self.cpu_s += share * EVERY_S
            levels.append(self.budget.look(self.now_s, self.cpu_s, known=known))
        return levels


def test_what_strangers_may_cost_they_may_cost_for_ever() -> None:
    assert set(Clock().run(3600, SHARE)) == {0}


def test_what_is_done_for_somebody_known_is_never_held_against_strangers() -> None:
    assert set(Clock().run(600, 1.9, known=True)) == {0}


def test_an_attack_is_answered_within_a_second_and_ever_more_sharply() -> None:
    levels = Clock().run(5, 0.28)
    assert levels[round(1 / EVERY_S) - 1] >= 1
    assert levels[-1] == SELDOMEST
    assert levels == sorted(levels)


def test_it_ends_step_by_step_when_they_cost_little_again() -> None:
    clock = Clock()
    clock.run(5, 1.0)
    levels = clock.run(HOLD_S * (SELDOMEST + 1), 0.0)
    assert levels[round(HOLD_S / EVERY_S) - 5] == SELDOMEST
    assert levels[-1] == 0
    assert levels == sorted(levels, reverse=True)


def test_a_machine_that_slept_and_a_burst_are_no_attack() -> None:
    clock = Clock()
    clock.now_s += 10 * 3600
    assert clock.run(EVERY_S, 0.3) == [0]
    assert clock.run(60, 0.0)[-1] == 0
    assert clock.run(EVERY_S, BURST_S / EVERY_S) == [0]


@given(st.lists(st.tuples(st.floats(0, 8), st.booleans()), max_size=200))
def test_whatever_it_costs_the_level_stays_within_its_bounds_and_comes_back(shares: list[tuple[float, bool]]) -> None:
    clock = Clock()
    for share, known in shares:
        [level] = clock.run(EVERY_S, share, known=known)
        assert 0 <= level <= SELDOMEST
    assert clock.run(HOLD_S * (SELDOMEST + 1), 0.0)[-1] == 0


def nobody() -> Strangers:
    return Strangers(list, lambda: None)


def test_addresses_are_read_as_grpc_writes_them_and_the_latest_are_kept() -> None:
    known = nobody()
    for peer in ("unix:", "ipv6:%5B::1%5D:9", "ipv4:10.0.0.7:1", "ipv6:[fe80::1%25eth0]:2", "ipv6:[::ffff:10.0.0.8]:3"):
        known.begin(peer, watches=False)
        known.end(watches=False)
    assert [str(each) for each in known.addresses] == ["::1", "10.0.0.7", "fe80::1", "10.0.0.8"]
    for number in range(100):
        known.begin(f"ipv4:192.168.0.{number}:{number}", watches=False)
        known.begin("ipv4:10.0.0.7:77", watches=True)
    assert len(known.addresses) == strangers.KNOWN_ADDRESSES
    assert str(known.addresses[-1]) == "10.0.0.7"
    assert len(turnstile.program(3, known.addresses)) < 4096, "the kernel takes no longer ones"


def run(instructions: list[turnstile.Instruction], packet: dict[int, int], random: int) -> bool:
    """The kernel's part: whether a packet passes. `packet` says what stands at an offset."""
    held, at = 0, 0
    while True:
        code, yes, no, operand = instructions[at]
        at += 1
        if code in (0x20, 0x30):
            held = random if operand == 0xFFFFF000 + 56 else packet[operand]
        elif code == 0x54:
            held &= operand
        elif code == 0x74:
            held >>= operand
        elif code == 0x05:
            at += operand
        elif code == 0x15:
            at += yes if held == operand else no
        elif code == 0x35:
            at += yes if held >= operand else no
        else:
            assert code == 0x06
            return operand != 0


def packet_from(address: IPAddress, flags: int) -> dict[int, int]:
    network = 0xFFF00000
    words = {network + (12 if address.version == 4 else 8) + at: 0 for at in range(0, len(address.packed), 4)}
    for at, place in enumerate(words):
        words[place] = int.from_bytes(address.packed[4 * at : 4 * at + 4], "big")
    return {13: flags, network: address.version << 4 | 5, **words}


ADDRESSES = st.ip_addresses()


@given(st.integers(0, SELDOMEST), st.lists(ADDRESSES, max_size=32), ADDRESSES, st.integers(0, 255), st.data())
def test_the_filter_drops_what_opens_a_connection_from_a_stranger_and_nothing_else(
    level: int, known: list[IPAddress], source: IPAddress, flags: int, data: st.DataObject
) -> None:
    if known and data.draw(st.booleans()):
        source = data.draw(st.sampled_from(known))
    random = data.draw(st.integers(0, 2**32 - 1))
    opens = flags & 0x12 == 0x02
    passes = run(turnstile.program(level, known), packet_from(source, flags), random)
    assert passes == (not opens or source in known or random >= 2**32 - 2 ** (32 - level))


@contextlib.contextmanager
def listening() -> Iterator[tuple[socket.socket, int]]:
    with socket.create_server(("127.0.0.1", 0), backlog=1000) as server:
        yield server, server.getsockname()[1]


def taken(port: int, source: IPAddress) -> int:
    """How many of TRIES connections are there after a moment: who is not taken tries again after a second."""
    opened = []
    try:
        for _ in range(TRIES):
            one = socket.socket()
            opened.append(one)
            one.setblocking(False)
            one.bind((str(source), 0))
            one.connect_ex(("127.0.0.1", port))
        time.sleep(0.3)
        count = 0
        for one in opened:
            with contextlib.suppress(OSError):
                one.getpeername()
                count += 1
        return count
    finally:
        for one in opened:
            one.close()


@linux
def test_the_kernel_takes_strangers_seldom_and_known_addresses_always() -> None:
    with listening() as (_, port):
        assert turnstile.turn(3, [port], [THERE]) == 1
        assert 1 <= taken(port, HERE) < TRIES // 3  # one in eight; what would be beyond is one in a billion
        assert taken(port, THERE) == TRIES
        turnstile.turn(0, [port], [])
        assert taken(port, HERE) == TRIES


@linux
def test_connections_that_are_there_lose_nothing() -> None:
    with listening() as (server, port), socket.create_connection(("127.0.0.1", port)) as before:
        turnstile.turn(3, [port], [])
        accepted = [server.accept()[0]]
        with contextlib.ExitStack() as opened:
            while len(accepted) < 4:  # made under the filter, which they inherit
                one = opened.enter_context(socket.socket())
                one.settimeout(0.2)
                with contextlib.suppress(OSError):
                    one.connect(("127.0.0.1", port))
                    accepted.append(server.accept()[0])
            for ours in accepted:
                for _ in range(50):
                    ours.sendall(b"x" * 1000)
        got = 0
        while got < 50_000:
            got += len(before.recv(65536))
        for ours in accepted:
            ours.close()


@linux
def test_other_ports_and_sockets_that_do_not_listen_are_left_alone() -> None:
    with listening() as (_, port), listening() as (_, other):
        assert turnstile.turn(3, [port], []) == 1
        assert taken(other, HERE) == TRIES
        assert turnstile.turn(3, [1], []) == 0
