"""A pool of decoders in bounded memory, and more clients than it can keep.

    python bench/pool.py [--clients 100] [--rounds 30] [--bars] [--out bench/results]

Writes pool.md. The pool lives in a process of its own, whose memory is measured.
"""
import argparse
import gc
import multiprocessing
import time
from dataclasses import dataclass

import floors
import report
import timing
import traces

import gradsz
import numpy as np

METHOD = """\
{clients} clients send updates of {elements:,} float32 in {tensors} tensors (rms 1, history 1; rounds of a client resemble each other) to one
`DecoderPool` of {room} MiB, which keeps at most {kept} of them. Of {rounds} rounds, client i takes part in each with probability 1 / (1 + i / 8),
in random order. What the pool refuses is rolled back and sent again as a key. `wrong`: values further than the bound from those sent; `lost`:
updates that did not arrive in the end. Resident memory is that of the pool's process right after a message, decoded values and what the
allocator keeps included, less what it was before the first."""

SHAPES = {"conv": (128, 64, 3, 3), "dense": (1024, 768), "head": (139840,)}
ELEMENTS = sum(int(np.prod(shape)) for shape in SHAPES.values())
MIB = floors.MIB
ROOM = 64 * MIB

# ---- the server, in its process --------------------------------------------------------------


@dataclass
class Report:
    """Of the pool after a message, in bytes and counts; `decoded` is None where it refused."""
    decoded: dict
    nbytes: int
    clients: int
    resident: int
    hits: int
    keys: int
    refused: int
    evictions: int


def serve(pipe):
    """Decodes (client, message) until None comes."""
    gradsz.Decoder().decode(pipe.recv())
    gc.collect()
    before, pool = floors.status_bytes("VmRSS"), gradsz.DecoderPool(ROOM)
    while (received := pipe.recv()) is not None:
        decoded = decode(pool, *received)
        pipe.send(Report(decoded, pool.nbytes, len(pool), floors.status_bytes("VmRSS") - before, pool.hits, pool.keys, pool.mismatches,
                         pool.evictions))


def decode(pool, client, message):
    try:
        return pool.decode(client, message)
    except gradsz.StateMismatchError:
        return None


# ---- clients ---------------------------------------------------------------------------------


class Client:
    def __init__(self, number):
        self.number, self.round = number, 0
        self.encoder = gradsz.Encoder(1, mode="rms", history=1, stream=number)

    def update(self):
        """What stays the same over rounds, and what does not."""
        self.round += 1
        own, new = np.random.default_rng(self.number), np.random.default_rng([self.number, self.round])
        return {name: own.standard_normal(shape, np.float32) + np.float32(0.3) * new.standard_normal(shape, np.float32)
                for name, shape in SHAPES.items()}

    def send(self, pipe):
        """Sends an update, as a key if it is refused: the last report, both messages' bytes, how many values are wrong."""
        update, size = self.update(), 0
        for _ in range(2):
            message = self.encoder.encode(update)
            pipe.send((self.number, bytes(message)))
            answer, size = pipe.recv(), size + len(message)
            if answer.decoded is not None:
                return answer, size, wrong(update, answer.decoded, message)
            self.encoder.rollback(message.token)
            self.encoder.key_frame()
        return answer, size, 0


def wrong(update, decoded, message):
    """Values that came back further from those sent than the bound, or not at all."""
    ebs = {tensor.name: tensor.eb for tensor in gradsz.info(message).tensors}
    return sum(traces.error(x, decoded[name], ebs[name]).over if name in decoded else x.size for name, x in update.items())


@dataclass
class Totals:
    updates: int = 0
    bytes: int = 0
    wrong: int = 0
    lost: int = 0
    nbytes: int = 0             # at most
    resident: int = 0           # at most
    kept: int = 0               # at most


def run_rounds(count, rounds):
    """Totals, and the last report."""
    pipe, other = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(other,), daemon=True)
    server.start()
    clients, rng, totals = [Client(i) for i in range(count)], np.random.default_rng(0), Totals()
    pipe.send(bytes(Client(count).encoder.encode(clients[0].update())))
    for _ in range(rounds):
        for i in rng.permutation(count):
            if rng.random() > 1 / (1 + i / 8):
                continue
            answer, size, over = clients[i].send(pipe)
            totals.updates, totals.bytes, totals.wrong = totals.updates + 1, totals.bytes + size, totals.wrong + over
            totals.lost += answer.decoded is None
            totals.nbytes, totals.resident = max(totals.nbytes, answer.nbytes), max(totals.resident, answer.resident)
            totals.kept = max(totals.kept, answer.clients)
    pipe.send(None)
    server.join()
    return totals, answer


# ---- command ---------------------------------------------------------------------------------


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=100, help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=30, help="default: %(default)s")
    parser.add_argument("--out", default="bench/results", help="folder of pool.md (default: %(default)s)")
    parser.add_argument("--bars", action="store_true", help="exit with 1 if a bar is not met")
    args = parser.parse_args()
    environment, start = timing.environment(), time.perf_counter()
    totals, last = run_rounds(args.clients, args.rounds)
    rows = [["updates sent", f"{totals.updates:,}"], ["bytes a message, refused ones counted with the key", f"{totals.bytes / totals.updates:,.0f}"],
            ["hits", f"{last.hits:,}"], ["keys", f"{last.keys:,}"], ["refused", f"{last.refused:,}"], ["evictions", f"{last.evictions:,}"],
            ["wrong values", f"{totals.wrong:,}"], ["updates lost", f"{totals.lost:,}"],
            ["states, at most", f"{totals.nbytes / MIB:.1f} MiB, of {totals.kept} clients"],
            ["resident memory, growth at most", f"{totals.resident / MIB:.1f} MiB"], ["seconds", f"{time.perf_counter() - start:.0f}"]]
    bars = [report.Bar("states, at most", ROOM / MIB, totals.nbytes / MIB, "MiB", at_most=True),
            report.Bar("wrong values", 0, totals.wrong, "", at_most=True), report.Bar("updates lost", 0, totals.lost, "", at_most=True)]
    method = METHOD.format(clients=args.clients, elements=ELEMENTS, tensors=len(SHAPES), room=ROOM // MIB, kept=totals.kept, rounds=args.rounds)
    text = report.page("Pool", environment, method, report.table(["", "measured"], rows), "## Bars", report.bar_table(bars))
    report.save(args.out, "pool.md", text)
    report.conclude(text, bars, args.bars)


if __name__ == "__main__":
    main()
