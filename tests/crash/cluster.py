"""A server that gets killed: starts it, kills parts of it as `kill -9` does, and waits until it is back."""
import ctypes
import glob
import os
import signal
import subprocess
import time

import psycopg2


class Cluster:
    def __init__(self, data):
        self.data = data
        self.socket = os.path.dirname(data)
        adopt_orphans()

    def start(self):
        subprocess.run(["pg_ctl", "-D", self.data, "-l", f"{self.socket}/log", "-w", "-t", "60", "start"],
                       check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def stop(self):
        subprocess.run(["pg_ctl", "-D", self.data, "-m", "fast", "-w", "stop"], check=True, stdout=subprocess.DEVNULL)

    def make_sure(self):
        """After a round that went wrong: a server that the next one can use."""
        try:
            self.wait_until_up(20)
        except psycopg2.Error:
            self.kill_all()
            self.start()

    def connect(self, database="postgres"):
        connection = psycopg2.connect(host=self.socket, port=5432, user="postgres", dbname=database)
        connection.autocommit = True
        return connection

    def environment(self, database):
        return {**os.environ, "PGHOST": self.socket, "PGPORT": "5432", "PGUSER": "postgres", "PGDATABASE": database}

    def wait_until_up(self, seconds=60):
        """Waits until the server lets us in again; returns how long that took."""
        begun = time.monotonic()
        while True:
            try:
                self.connect().close()
                return time.monotonic() - begun
            except psycopg2.Error:
                if time.monotonic() - begun > seconds:
                    raise
                time.sleep(0.02)

    def postmaster(self):
        with open(f"{self.data}/postmaster.pid") as file:
            return int(file.readline())

    def kill_all(self):
        """The postmaster, and before its children could do anything about that, the children."""
        postmaster = self.postmaster()
        pids = [postmaster] + children(postmaster)
        for pid in pids:
            kill(pid)
        begun = time.monotonic()
        while not all([is_gone(pid) for pid in pids]):
            if time.monotonic() - begun > 30:
                raise RuntimeError("processes of the server survive kill -9")
            time.sleep(0.01)

    # Fault points: see extension/src/bridge/fault.hpp

    def set_faults(self, *lines):
        name = f"{self.data}/tenantmig_faults"
        with open(f"{name}.new", "w") as file:
            file.writelines(f"{line}\n" for line in lines)
        os.rename(f"{name}.new", name)

    def marked(self):
        """Which processes stand at which fault point; after a kill: stood there."""
        found = {}
        for name in glob.glob(f"{self.data}/tenantmig_fault.*"):
            try:
                with open(name) as file:
                    found[int(name.rsplit(".", 1)[1])] = file.read()
            except FileNotFoundError:
                pass
        return {pid: point for pid, point in found.items() if point}

    def forget_marks(self):
        for name in glob.glob(f"{self.data}/tenantmig_fault.*"):
            os.unlink(name)

    def crashes(self):
        """Lines of the server's log about deaths that nobody asked for."""
        with open(f"{self.socket}/log", errors="replace") as file:
            return [line.rstrip() for line in file
                    if "PANIC:" in line or "TRAP:" in line or ("was terminated by signal" in line and "signal 9" not in line)]


def kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def stat_fields(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def adopt_orphans():
    """A server that is started from here stays our descendant: init may never bury it, and its lock file holds as long as its process
    has an entry."""
    PR_SET_CHILD_SUBREAPER = 36
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def is_gone(pid):
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        pass
    return not os.path.exists(f"/proc/{pid}")


def children(parent):
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            fields = stat_fields(int(name))
            if fields and int(fields[1]) == parent:
                found.append(int(name))
    return found
