#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Time `enarx run hello.wasm` beside `wasmtime run hello.wasm`, whole processes, in turns; print medians and their ratio.

Usage: bench_run.py ENARX [WASMTIME]
WASMTIME is the program of crates.io's wasmtime-cli; without it, what PyPI's `wasmtime` does in a fresh Python is timed, less
the time of a Python that only imports it.
"""
import pathlib
import statistics
import subprocess
import sys
import time

ROUNDS = 40
MODULE = pathlib.Path(__file__).resolve().parent.parent / "target" / "bench-hello.wasm"
SOURCE = pathlib.Path(__file__).resolve().parent.parent / "tests" / "guests" / "c" / "hello.c"
PYTHON = """
import sys, wasmtime
if len(sys.argv) > 1:
    engine = wasmtime.Engine()
    linker = wasmtime.Linker(engine)
    linker.define_wasi()
    store = wasmtime.Store(engine)
    wasi = wasmtime.WasiConfig()
    wasi.inherit_stdout()
    store.set_wasi(wasi)
    instance = linker.instantiate(store, wasmtime.Module.from_file(engine, sys.argv[1]))
    try:
        instance.exports(store)["_start"](store)
    except wasmtime.ExitTrap as end:
        sys.exit(end.code)
"""


def timed(command):
    start = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=True)
    return time.perf_counter() - start, done.stdout


def main():
    enarx = sys.argv[1]
    subprocess.run(["clang-14", "--target=wasm32-wasi", "-O2", "-o", MODULE, SOURCE], check=True)
    commands = {"enarx run": [enarx, "run", str(MODULE)]}
    if len(sys.argv) > 2:
        commands["wasmtime run"] = [sys.argv[2], "run", "-C", "cache=n", str(MODULE)]
    else:
        commands["python, wasmtime"] = [sys.executable, "-c", PYTHON, str(MODULE)]
        commands["python, import only"] = [sys.executable, "-c", PYTHON]
    times = {name: [] for name in commands}
    for _ in range(ROUNDS):
        for name, command in commands.items():
            seconds, out = timed(command)
            if "import" not in name and out != b"Hello, world!\n":
                sys.exit(f"{name} printed {out!r}")
            times[name].append(seconds)
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name, median in medians.items():
        print(f"{name:20} median {median * 1000:7.1f} ms over {ROUNDS} runs, least {min(times[name]) * 1000:.1f} ms")
    peer = medians.get("wasmtime run")
    if peer is None:
        peer = medians["python, wasmtime"] - medians["python, import only"]
    print(f"ratio enarx run / wasmtime: {medians['enarx run'] / peer:.2f}")


main()
