"""Brokers, Kafka's tools and runs of vnotch, for the scripts that prove something about runs against real Kafka."""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target").resolve()
FOLDER = TARGET / "kafka-proofs"
# Exit statuses with which vnotch has measured: valid, an objective was missed, errors or a regression, invalid.
EXITS_WITH_RESULT = (0, 1, 3, 4, 5)
PORTS = range(20_000, 30_000)
END_MAX_S = 30


class Failure(Exception):
    """A reason why the script cannot run."""


def run(command, **more):
    """Runs a command, and returns its standard output. Its exit status must be 0."""
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True, stdin=subprocess.DEVNULL, **more)
    if result.returncode != 0:
        raise Failure(f"{' '.join(map(str, command[:6]))} … failed:\n{result.stdout[-2000:]}{result.stderr[-2000:]}")
    return result.stdout


def check_tools(more=()):
    """Checks that the programs that the script needs are installed."""
    needed = {"java": "Java 17 or newer", "mvn": "Maven", "cargo": "Rust", **dict(more)}
    missing = sorted({what for tool, what in needed.items() if shutil.which(tool) is None})
    if missing:
        raise Failure(f"this needs {' and '.join(missing)}")


def build_vnotch():
    """Builds vnotch with its Kafka client in release mode, and returns the binary."""
    command = ["cargo", "build", "--release", "--locked", "--package", "vnotch", "--features", "vnotch/kafka"]
    if subprocess.run(command, cwd=ROOT).returncode != 0:
        raise Failure("vnotch does not build")
    return TARGET / "release/vnotch"


def free_ports(count):
    """Returns the first of `count` neighbouring ports that nobody listens at."""
    for _ in range(100):
        first = random.randrange(PORTS.start, PORTS.stop - count)
        sockets = []
        try:
            for port in range(first, first + count):
                sockets.append(socket.socket())
                sockets[-1].bind(("127.0.0.1", port))
            return first
        except OSError:
            continue
        finally:
            for one in sockets:
                one.close()
    raise Failure("there are no free ports")


class Brokers:
    """Kafka that runs until this value is closed, or until this process ends."""

    def __init__(self, directory, brokers, heap):
        self.directory = Path(directory)
        command = [ROOT / "scripts/kafka", "hold", "--brokers", brokers, "--heap", heap,
                   "--port", free_ports(2 * brokers), "--dir", self.directory]
        # Its messages are shown only if Kafka does not start.
        with tempfile.TemporaryFile("w+") as words:
            # A signal to the terminal's group must not reach the brokers before their trial is over.
            self.script = subprocess.Popen([str(part) for part in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                           stderr=words, text=True, start_new_session=True)
            word, _, self.addresses = self.script.stdout.readline().strip().partition(" ")
            if word != "ready":
                self.script.wait()
                words.seek(0)
                raise Failure(f"Kafka does not start:\n{words.read()}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.script.stdin.close()
        try:
            self.script.wait(timeout=END_MAX_S)
        except subprocess.TimeoutExpired:
            os.killpg(self.script.pid, signal.SIGKILL)
            self.script.wait()


class Tools:
    """Kafka's own tools, which Maven fetches once."""

    def __init__(self):
        folder = TARGET / "kafka-dump"
        run(["mvn", "-q", "-B", "-f", ROOT / "scripts/proofs/kafka-dump/pom.xml", f"-Dbuild={folder}", "dependency:build-classpath"])
        self.java = ["java", "-Xshare:auto", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp",
                     (folder / "classpath").read_text().strip()]

    def topics(self, addresses, *arguments):
        """Runs kafka-topics, and returns its output."""
        return run([*self.java, "org.apache.kafka.tools.TopicCommand", "--bootstrap-server", addresses, *arguments])

    def create(self, addresses, topic, partitions, replication, config):
        """Makes a topic."""
        settings = [part for name, value in config.items() for part in ("--config", f"{name}={value}")]
        self.topics(addresses, "--create", "--topic", topic, "--partitions", partitions, "--replication-factor", replication,
                    *settings)


def vnotch_command(vnotch, directory, name, workload, settings):
    """Returns the command of a run of vnotch, and the folder that its result will be in."""
    directory.mkdir(parents=True, exist_ok=True)
    file, results = directory / f"{name}.yaml", directory / f"{name}-results"
    file.write_text(workload)
    shutil.rmtree(results, ignore_errors=True)
    command = [vnotch, "run", file, "--output", results, "--data-dir", directory / f"{name}-data"]
    command += [part for setting in settings for part in ("--set", setting)]
    return [str(part) for part in command], results


def result_of(results, code, said):
    """Returns the document of the only result in a folder. `said` is what vnotch said."""
    if code not in EXITS_WITH_RESULT or not results.is_dir():
        raise Failure(f"vnotch run ended with {code}:\n{said[-2000:]}")
    [directory] = results.iterdir()
    return json.loads((directory / "result.json").read_text())
