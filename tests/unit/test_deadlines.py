"""No wait without a deadline: calls that may wait for ever are found by their names.

What is left is listed with the reason why it ends. Popen as a context manager waits in its end.
"""

import ast
from pathlib import Path

import oomctl

PACKAGE = Path(oomctl.__file__).parent

BOUNDED = {
    (
        "cache.py",
        "while not _lock(lock.fileno(), fcntl.LOCK_EX)",
    ): "bounded by its patience",
    ("experiment/callers.py", "os.read(ready, len(started.pids))"): "does not block",
    ("hog/hogset.py", "os.read(fd, READ_SIZE)"): "poll(2) said that there is something",
    ("hog/spawn.py", "os.read(reader, 1)"): "the byte that was just written",
    ("experiment/sampling.py", "os.read(fd, 128)"): "a file of /proc",
    ("journal/file.py", "os.read(fd, _LARGEST)"): "a regular file",
    (
        "lab/keeper.py",
        "os.read(reader.fileno(), 1 << 16)",
    ): "select(2) said that there is something",
    (
        "lab/kept_run.py",
        "os.waitpid(pid, 0)",
    ): "the keeper has ended, or ends within its own deadlines",
    (
        "lab/waiting.py",
        "os.waitpid(pid, 0)",
    ): "in the guest: the command's own deadline, at which the host kills it or the machine",
    ("lab/make.py", "process.wait()"): "its output has ended, and Ctrl-C ends it",
    ("proc/kmsg.py", "os.read(self._fd, _RECORD_MAX)"): "does not block",
    ("proc/lanes.py", "os.read(self.said, 1 << 16)"): "wait() said that there is something",
    (
        "bpf/selftest.py",
        "os.waitpid(pid, 0)",
    ): "it has ended, or was killed",
    ("files/kernelfile.py", "os.read(fd, _READ_SIZE)"): "a file of the kernel that is no pipe",
    ("fleet/agent.py", "fcntl.flock(lock, fcntl.LOCK_EX)"): "a new file, which no other has open",
    (
        "fleet/agent.py",
        "subprocess.run([sys.executable, '-m', 'oomctl', 'doctor', '-f', 'json'], "
        "capture_output=True, text=True)",
    ): "the supervisor ends it when its lease is over",
    (
        "fleet/agent.py",
        "while not ended and time.time() - LEASED.stat().st_mtime < LEASE",
    ): "the lease is a deadline",
    ("fleet/ansible.py", "thread.join()"): "Ansible has ended, or was told to",
    ("lab/pump.py", "os.read(key.fd, 1 << 18)"): "select(2) said that there is something",
    ("rounds/record.py", "file.readline()"): "a regular file",
    ("rounds/record.py", "file.readline(most)"): "a regular file",
    ("cli/saved.py", "file.readline(_LARGEST)"): "a regular file",
    ("console.py", "sys.stdin.buffer.readline()"): "asks a person, and Ctrl-C ends it",
}
BLOCKING = {"read", "waitpid", "waitid", "wait3", "wait4", "flock", "lockf"}
NEED_A_TIMEOUT = {"communicate", "run", "call", "check_call", "check_output"}
WATCHES = {"watch.poll()", "self._watch.poll()", "self.watch.poll()", "oom_watch.poll()"}
WATCHES |= {"self.oom_watch.poll()"}
WATCHES |= {"guest.process.poll()", "child.poll()"}  # Popen's
UNLESS_GIVEN = {"wait", "select", "acquire", "join", "poll"}


def waits(tree):
    """Yield the calls that may wait for ever, and the loops that sleep without a deadline."""
    for node in ast.walk(tree):
        match node:
            case ast.Call() if may_wait(node):
                yield ast.unparse(node)
            case ast.With(items=items):
                yield from (
                    f"with {text}"
                    for text in (ast.unparse(each.context_expr) for each in items)
                    if text == "process" or text.startswith("subprocess.Popen")
                )
            case ast.While():
                names = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
                if "time.sleep(" in ast.unparse(node) and not names & {"deadline", "end"}:
                    yield f"while {ast.unparse(node.test)}"


def may_wait(call):
    """Tell whether a call has nothing that bounds it; module functions by module, else methods."""
    text, function = ast.unparse(call), ast.unparse(call.func)
    module, _, name = function.rpartition(".")
    given = {each.arg for each in call.keywords} | {None for _ in call.args}
    if module in ("os", "fcntl") and name in BLOCKING:
        return not {"WNOHANG", "LOCK_NB", "LOCK_UN"} & set(
            ast.unparse(call).replace(")", ".").split(".")
        )
    if name in ("readline", "input"):
        return True
    if module == "select" and name == "select":
        return len(call.args) < 4
    if name in NEED_A_TIMEOUT and (name == "communicate" or module == "subprocess"):
        return "timeout" not in given
    at_once = text == "select.poll()" or text in WATCHES
    return module != "" and name in UNLESS_GIVEN and not given and not at_once


def test_every_wait_has_a_deadline():
    found = {
        (str(path.relative_to(PACKAGE)), wait)
        for path in PACKAGE.rglob("*.py")
        for wait in waits(ast.parse(path.read_text()))
    }
    assert sorted(found ^ BOUNDED.keys()) == []


def test_such_waits_are_found():
    for text in (
        "os.read(fd, 1)",
        "os.waitid(os.P_PID, pid, os.WEXITED)",
        "fcntl.flock(fd, fcntl.LOCK_EX)",
        "process.communicate()",
        "process.wait()",
        "poll.poll()",
        "subprocess.run(['x'], check=True)",
        "select.select([fd], [], [])",
        "with process:\n    pass",
        "with subprocess.Popen(['x']) as process:\n    pass",
        "while not done():\n    time.sleep(1)",
    ):
        assert list(waits(ast.parse(text))), text
    for text in (
        "os.waitid(os.P_PIDFD, fd, os.WEXITED | os.WNOHANG)",
        "fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)",
        "process.communicate(timeout=3)",
        "poll.poll(5)",
        "select.select([fd], [], [], 3)",
        "programs.run('x')",
        "','.join(words)",
        "while time.monotonic() < deadline:\n    time.sleep(1)",
    ):
        assert not list(waits(ast.parse(text))), text
