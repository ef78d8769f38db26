"""The board's clock against the host's: a line through the round trips that were short."""

from collections import deque


class BoardClock:
    """The board's microseconds against the loop's seconds: a line through the round trips that were short."""

    KEPT = 64
    # Samples are weighed against a belief that both clocks run alike. The square of a ratio is how much the belief
    # weighs: of what a sample may be wrong by, a round trip, to what a cheap resonator is off, half a percent.
    TRIP_MIN_S = 0.2e-3
    RATE_ERROR = 5e-3

    def __init__(self) -> None:
        self._samples: deque[tuple[float, float, float]] = deque(maxlen=self.KEPT)  # round trip, host, board
        self._last_us = 0
        self._wraps_us = 0
        self._host_s = 0.0
        self._board_s = 0.0
        self._rate = 1.0

    @property
    def samples(self) -> int:
        """How many round trips it rests on."""
        return len(self._samples)

    @property
    def rate(self) -> float:
        """Board seconds in one loop second."""
        return self._rate

    def add(self, sent_s: float, received_s: float, board_us: int) -> None:
        """One round trip: loop times of ping and pong, and the board's clock (32 bits) in between."""
        if board_us < self._last_us - (1 << 31):
            self._wraps_us += 1 << 32
        self._last_us = board_us
        board_s = (board_us + self._wraps_us) * 1e-6
        self._samples.append((received_s - sent_s, (sent_s + received_s) / 2, board_s))
        # Half of the samples met a queue on their way; the shorter half tells the time better.
        trips = sorted(sample[0] for sample in self._samples)
        longest = trips[len(trips) // 2]
        good = [(host, board) for trip, host, board in self._samples if trip <= longest]
        self._host_s = sum(host for host, _ in good) / len(good)
        self._board_s = sum(board for _, board in good) / len(good)
        stiffness_s2 = (max(longest, self.TRIP_MIN_S) / self.RATE_ERROR) ** 2
        spread = sum((host - self._host_s) ** 2 for host, _ in good) + stiffness_s2
        drift = sum(
            (host - self._host_s) * ((board - self._board_s) - (host - self._host_s)) for host, board in good
        )
        self._rate = 1.0 + drift / spread

    def board_us(self, time_s: float) -> int:
        """Loop time as the board's 32-bit clock."""
        return round((self._board_s + (time_s - self._host_s) * self._rate) * 1e6) & 0xFFFFFFFF

    def loop_s(self, board_us: int) -> float:
        """The board's 32-bit clock as loop time: of all its turns, the one nearest to the last sample."""
        last_us = self._last_us + self._wraps_us
        near_us = last_us + ((board_us - self._last_us + (1 << 31)) & 0xFFFFFFFF) - (1 << 31)
        return self._host_s + (near_us * 1e-6 - self._board_s) / self._rate
