"""Random streams for hours: fuzz.py in one process after another, each with a few thousand seeds, until the time is over.

    nice python tests/engine/streams.py HOURS [LEDGER]      run on from the seed where the ledger ends
    python tests/engine/streams.py sum [LEDGER]             one line of the table in docs/random_streams.md

The ledger (JSON, a line for each process: first seed, cases, instructions, CPU seconds, what went wrong) may be cut off anywhere.  A
difference, a crash or a hang costs its process; the next one begins with the seed after it.
"""
import json
import pathlib
import re
import resource
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).parent
FIRST, EACH, PATIENCE = 1_000_000, 2000, 900           # seed, cases of a process, seconds


def entries(ledger):
    for line in ledger.read_text().splitlines() if ledger.exists() else ():
        try:
            yield json.loads(line)
        except ValueError:                              # cut off while it was written
            continue


def batch(seed):
    """One process: its line of the ledger."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    try:
        p = subprocess.run([sys.executable, str(HERE / "fuzz.py"), str(seed), str(EACH)], capture_output=True, text=True, timeout=PATIENCE)
        code, out, err = p.returncode, p.stdout, p.stderr
    except subprocess.TimeoutExpired as e:
        code, out, err = "hangs", "", (e.stderr or b"").decode()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    reached = re.findall(r"case (\d+) ", err)
    done = re.search(r"(\d+) cases, (\d+) instructions", out)
    entry = {"first": seed, "cases": int(done[1]) if done else int(reached[-1]) - seed if reached else 0, "instructions": int(done[2]) if done else 0,
             "cpu": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1)}
    return entry if code == 0 else entry | {"wrong": f"{code}: " + err.replace("\r", "\n").splitlines()[-1][:2000]}


def main(hours, ledger):
    end, seed = time.time() + hours * 3600, FIRST
    for e in entries(ledger):
        seed = max(seed, e["first"] + e["cases"] + ("wrong" in e))
    while time.time() < end:
        entry = batch(seed)
        with ledger.open("a") as f:
            print(json.dumps(entry), file=f)
        seed += entry["cases"] + ("wrong" in entry)


def total(ledger):
    all_ = list(entries(ledger))
    wrong = [e["wrong"] for e in all_ if "wrong" in e]
    print(f"| {min(e['first'] for e in all_)}-{max(e['first'] + e['cases'] for e in all_) - 1} | {sum(e['cases'] for e in all_):,} | "
          f"{3 * sum(e['instructions'] for e in all_):,} | {sum(e['cpu'] for e in all_) / 3600:.1f} | {len(wrong)} |", *wrong, sep="\n")


if __name__ == "__main__":
    where = pathlib.Path(sys.argv[2] if sys.argv[2:] else "streams.jsonl")
    if sys.argv[1] == "sum":
        total(where)
    else:
        main(float(sys.argv[1]), where)
