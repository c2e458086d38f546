#!/usr/bin/env python3
"""Sixteen agents for ten minutes under every fault at once: no accepted write is lost, and all are equal at the end.

    gossip-tokio/tests/agent/faults.py [--minutes 10] [--seed 1] [--agent target/debug/gossip-agent]

Each agent has a network namespace of its own, with a tap device; between them this script is the switch, and loses, duplicates,
delays, swallows and cuts as it is told. It needs root, Linux namespaces, /dev/net/tun, `ip` and `mount`; where one is missing it says
so and ends with 0. What it makes it removes. The faults:

  always      a tenth of all datagrams lost, 2 % twice, all late by up to 20 ms; two agents behind a path that swallows whatever is
              longer than 1,000 bytes; one that advertises an address at which nobody is; one with a larger `max_datagram`; two
              agents of another cluster that take all of these for their seeds
  in turns    kill -9 and a restart; a stop of four seconds; halves cut apart; a cut one way only; a bit flipped in the data of one
              that is killed; SIGHUP; a disk that is full
"""

import argparse, fcntl, hashlib, heapq, json, os, random, selectors, shutil, signal, struct, subprocess, sys, tempfile, threading, time

AGENTS, STRANGERS = 16, 2
NARROW, NOWHERE, LARGER, FULL = (3, 4), 5, 6, 7
PREFIX = f"gsp{os.getpid() % 1000}"
# The last faults end before this share of the time.
QUIET = 0.9


def run(*words, check=True):
    return subprocess.run(words, check=check, capture_output=True, text=True)


def skip(reason):
    print(f"skipped: {reason}")
    sys.exit(0)


class Switch(threading.Thread):
    """Carries frames between the taps."""

    def __init__(self, taps, rng):
        super().__init__(daemon=True)
        self.taps, self.rng, self.where, self.late = taps, rng, {}, []
        self.cut = lambda source, target: False
        self.faulty, self.stopped, self.count = True, False, dict.fromkeys(("carried", "lost", "cut", "swallowed", "twice"), 0)

    def run(self):
        selector, order = selectors.DefaultSelector(), 0
        for port, tap in enumerate(self.taps):
            selector.register(tap, selectors.EVENT_READ, port)
        while not self.stopped:
            now = time.monotonic()
            while self.late and self.late[0][0] <= now:
                _, _, port, frame = heapq.heappop(self.late)
                try:
                    os.write(self.taps[port], frame)
                    self.count["carried"] += 1
                except OSError:
                    pass  # The device is down.
            wait = min(self.late[0][0] - now, 0.1) if self.late else 0.1
            for key, _ in selector.select(max(wait, 0)):
                for _ in range(64):
                    try:
                        frame = os.read(key.fd, 2048)
                    except OSError:
                        break
                    self.where[frame[6:12]] = key.data
                    known = self.where.get(frame[0:6])
                    targets = [known] if known is not None else [p for p in range(len(self.taps)) if p != key.data]
                    for target in targets:
                        for pause in self.fate(key.data, target, frame):
                            order += 1
                            heapq.heappush(self.late, (time.monotonic() + pause, order, target, frame))

    def fate(self, source, target, frame):
        """Pauses after which the frame arrives: none if it does not."""
        udp = frame[12:14] == b"\x08\x00" and frame[23] == 17
        if not udp:
            return [0]
        if self.cut(source, target):
            self.count["cut"] += 1
            return []
        length = struct.unpack(">H", frame[38:40])[0] - 8
        if (source in NARROW or target in NARROW) and length > 1000:
            self.count["swallowed"] += 1
            return []
        if not self.faulty:
            return [0]
        if self.rng.random() < 0.1:
            self.count["lost"] += 1
            return []
        pauses = [self.rng.random() * 0.02]
        if self.rng.random() < 0.02:
            self.count["twice"] += 1
            pauses.append(self.rng.random() * 0.02)
        return pauses


class Agents:
    def __init__(self, binary, place):
        self.binary, self.place, self.running = binary, place, {}
        self.nowhere = NOWHERE

    def address(self, number):
        return f"10.77.0.{number + 1}:7000"

    def path(self, number, what):
        return os.path.join(self.place, f"{number}", what)

    def start(self, number):
        os.makedirs(os.path.join(self.place, f"{number}"), exist_ok=True)
        stranger = number >= AGENTS
        largest = 1_400 if number == LARGER else 1_200
        with open(self.path(number, "config.toml"), "w") as config:
            config.write(f'[protocol]\npreset = "lan"\nmax_datagram = {largest}\n')
        seeds = range(AGENTS) if stranger else (0, 1, 2)
        words = ["ip", "netns", "exec", f"{PREFIX}-{number}", self.binary, "--config", self.path(number, "config.toml")]
        words += ["--bind", self.address(number), "--name", f"n{number}", "--control", self.path(number, "sock"), "--log", "info"]
        words += ["--label", "others" if stranger else "faults", "--data", self.path(number, "data"), "--sync"]
        words += [word for seed in seeds if seed != number for word in ("--join", self.address(seed))]
        if number == self.nowhere:
            words += ["--advertise", "10.77.0.200:7000"]
        log = open(self.path(number, "log"), "a")
        self.running[number] = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log)

    def end(self, number, how=signal.SIGKILL):
        process = self.running.pop(number)
        process.send_signal(how)
        process.wait()

    def ctl(self, number, *words, timeout=10):
        """What a command printed; none if it failed or did not end."""
        try:
            done = subprocess.run([self.binary, "ctl", "--control", self.path(number, "sock"), *words],
                                  capture_output=True, timeout=timeout)
        except subprocess.TimeoutExpired:
            return None
        return done.stdout.decode() if done.returncode == 0 else None


def faults(agents, switch, rng, seconds, busy, told):
    """One fault after the other, several at once, until it is time to be quiet."""
    ends = time.monotonic() + seconds
    # Those with a fault of their own that lasts are not killed as well, nor is whoever the writer is just asking.
    mortal = [number for number in range(AGENTS) if number not in (NOWHERE, FULL)]

    # One cut at a time, and one killing.
    cuts, kills = threading.Lock(), threading.Lock()

    def kill(damage):
        number = rng.choice([number for number in mortal if number in agents.running])
        with busy[number], (cuts if damage else threading.Lock()):
            # What it alone holds would be lost with its file.
            time.sleep(5 if damage else 0)
            agents.end(number)
            if damage:
                path = agents.path(number, "data")
                with open(path, "r+b") as data:
                    at = rng.randrange(64, os.path.getsize(path))
                    data.seek(at)
                    byte = data.read(1)[0]
                    data.seek(at)
                    data.write(bytes([byte ^ (1 << rng.randrange(8))]))
            time.sleep(rng.uniform(0.1, 8))
            agents.start(number)
        told["damaged" if damage else "killed"] += 1

    def stop():
        number = rng.choice([number for number in mortal if number in agents.running])
        with busy[number]:
            agents.running[number].send_signal(signal.SIGSTOP)
            time.sleep(4)
            agents.running[number].send_signal(signal.SIGCONT)
        told["stopped"] += 1

    def cut(one_way):
        half = set(rng.sample(range(AGENTS), AGENTS // 2 if not one_way else 3))
        if one_way:
            switch.cut = lambda source, target: source in half and target not in half
        else:
            switch.cut = lambda source, target: (source in half) != (target in half)
        time.sleep(rng.uniform(10, 30))
        switch.cut = lambda source, target: False
        told["cut one way" if one_way else "halved"] += 1

    def reload():
        number = rng.choice(list(agents.running))
        agents.running[number].send_signal(signal.SIGHUP)
        told["reloaded"] += 1

    def fill():
        path = agents.path(FULL, "filling")
        with open(path, "wb") as filling:
            try:
                while filling.write(bytes(65_536)):
                    filling.flush()
            except OSError:
                pass
        time.sleep(rng.uniform(10, 20))
        alerts = agents.ctl(FULL, "--json", "info")
        told["full and told"] += alerts is not None and "storage" in alerts.lower()
        os.remove(path)
        told["full"] += 1

    plans = [
        (12, lambda: kill(False)), (35, lambda: kill(True)), (25, stop), (70, lambda: cut(False)), (90, lambda: cut(True)),
        (30, reload), (60, fill),
    ]

    def repeat(every, fault, guard):
        while time.monotonic() + 30 < ends:
            time.sleep(rng.uniform(0.5, 1.5) * every)
            if time.monotonic() + 30 >= ends:
                return
            with guard:
                fault()

    guards = [kills, kills, threading.Lock(), cuts, cuts, threading.Lock(), threading.Lock()]
    threads = [threading.Thread(target=repeat, args=(every, fault, guard)) for (every, fault), guard in zip(plans, guards)]
    for thread in threads:
        thread.start()
    return threads


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--agent", default="target/debug/gossip-agent")
    options = parser.parse_args()
    if os.geteuid() != 0:
        skip("only root makes network namespaces")
    if not os.path.exists("/dev/net/tun") or not shutil.which("ip") or not shutil.which("mount"):
        skip("there is no /dev/net/tun, no `ip` or no `mount`")
    if run("ip", "netns", "add", f"{PREFIX}-0", check=False).returncode != 0:
        skip("this kernel makes no network namespaces")
    run("ip", "netns", "del", f"{PREFIX}-0")
    place, rng = tempfile.mkdtemp(prefix="gossip-faults-"), random.Random(options.seed)
    agents, taps, mounted = Agents(os.path.abspath(options.agent), place), [], False
    try:
        for number in range(AGENTS + STRANGERS):
            space, device = f"{PREFIX}-{number}", f"{PREFIX}t{number}"
            tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
            fcntl.ioctl(tap, 0x400454CA, struct.pack("16sH", device.encode(), 0x0002 | 0x1000))
            taps.append(tap)
            run("ip", "netns", "add", space)
            run("ip", "link", "set", device, "netns", space)
            run("ip", "-n", space, "addr", "add", f"10.77.0.{number + 1}/24", "dev", device)
            run("ip", "-n", space, "link", "set", device, "up")
            run("ip", "-n", space, "link", "set", "lo", "up")
        os.makedirs(os.path.join(place, str(FULL)))
        run("mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", os.path.join(place, str(FULL)))
        mounted = True
        switch = Switch(taps, rng)
        switch.start()
        return test(agents, switch, rng, options)
    finally:
        for process in agents.running.values():
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()
        if mounted:
            run("umount", os.path.join(place, str(FULL)), check=False)
        for number in range(AGENTS + STRANGERS):
            run("ip", "netns", "del", f"{PREFIX}-{number}", check=False)
        for tap in taps:
            os.close(tap)
        if os.environ.get("KEEP"):
            print(f"kept: {place}")
        else:
            shutil.rmtree(place, ignore_errors=True)


def test(agents, switch, rng, options):
    seconds = 60 * options.minutes
    for number in range(AGENTS + STRANGERS):
        agents.start(number)
        time.sleep(0.1)
    time.sleep(5)
    busy = [threading.Lock() for _ in range(AGENTS + STRANGERS)]
    told = dict.fromkeys(("killed", "damaged", "stopped", "halved", "cut one way", "reloaded", "full", "full and told"), 0)
    threads = faults(agents, switch, rng, QUIET * seconds, busy, told)
    written, refused, begun, number = {}, 0, time.monotonic(), 0
    while time.monotonic() - begun < QUIET * seconds:
        writer = rng.randrange(AGENTS)
        size = 50_000 if number % 40 == 39 else 900 if number % 5 == 4 else rng.randrange(8, 200)
        value = hashlib.sha256(str(number).encode()).hexdigest() * (size // 64 + 1)
        # Whoever is killed while it writes has not accepted anything; one whose disk is full accepts nothing that it must keep.
        if busy[writer].acquire(blocking=False):
            try:
                source = agents.path(writer, "value")
                try:
                    with open(source, "w") as file:
                        file.write(value)
                except OSError:
                    continue
                if agents.ctl(writer, "put", f"w/{number}", "--file", source) is not None:
                    written[f"w/{number}"] = value
                else:
                    refused += 1
            finally:
                busy[writer].release()
            number += 1
        time.sleep(0.25)
    for thread in threads:
        thread.join()
    # Nothing is lost any more but what is too long for two paths, and the one with a wrong address has the right one.
    switch.faulty = False
    agents.end(NOWHERE, signal.SIGTERM)
    agents.nowhere = None
    agents.start(NOWHERE)
    print(f"{len(written)} writes accepted, {refused} refused; {told}; datagrams {switch.count}")
    deadline, wrong = time.monotonic() + 180, ["nobody was asked"]
    healed = time.monotonic()
    while wrong and time.monotonic() < deadline:
        time.sleep(2)
        wrong = compare(agents, written)
    took = time.monotonic() - healed
    crashed = [n for n in agents.running if agents.running[n].poll() is not None]
    panics = [n for n in range(AGENTS + STRANGERS) if "panicked" in open(agents.path(n, "log"), errors="replace").read()]
    reported = sum("10.77.0.200" in line and "reach" in line for line in open(agents.path(NOWHERE, "log")))
    checks = {
        "every fault was there": all(told[what] > 0 for what in told), "no agent ended": not crashed, "none panicked": not panics,
        "the wrong address was told": reported > 0, "all hold all that was accepted, and are equal": not wrong,
    }
    for what, holds in checks.items():
        print(f"{'holds' if holds else 'FAILS'}: {what}")
    if wrong:
        print("\n".join(wrong[:20]))
    print(f"equal {took:.0f} s after the last fault" if not wrong else "not equal after three minutes")
    return 0 if all(checks.values()) else 1


def compare(agents, written):
    """What is wrong with what the agents hold."""
    wrong, prints = [], {}
    for number in range(AGENTS):
        listed, info = agents.ctl(number, "--json", "list", "w/", timeout=60), agents.ctl(number, "--json", "info")
        if listed is None or info is None:
            wrong.append(f"n{number} does not answer")
            continue
        held = {entry["name"]: entry["value"] for entry in map(json.loads, listed.splitlines())}
        lost = [name for name, value in written.items() if held.get(name) != value]
        if lost:
            wrong.append(f"n{number} lacks {len(lost)}: {lost[:5]}")
        info = json.loads(info)
        prints[number] = (info["cut"], info["fingerprint"], info["members"])
    seen = {json.dumps(members) for _, _, members in prints.values()}
    if len({fingerprint for _, fingerprint, _ in prints.values()}) != 1:
        wrong.append(f"fingerprints differ: {prints}")
    if len(seen) != 1:
        wrong.append(f"members differ: {seen}")
    return wrong


if __name__ == "__main__":
    sys.exit(main())
