#!/usr/bin/python3
"""What RQ and Celery do on the same machine: jobs with nothing to do, taken and completed a second.

A private redis-server with the settings of ours; WORKERS processes (RQ) or one worker with 50 threads
(Celery), both with results switched off, both at the ready before the clock runs. A JSON object a line; says
which of the two is not installed, and ends with an error when one that is does not work. Debian: python3-rq, celery.
  queue_peers.py [JOBS]
"""
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time

WORKERS = 4
PAYLOAD = "e" * 1500


def nothing(payload):
    return None


def tell(peer, submit, rate, workers):
    print(json.dumps({"peer": peer, "submit": round(submit), "rate": round(rate), "workers": workers}), flush=True)


def wait_until(done, what, seconds=60):
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            raise RuntimeError(f"{what}: not within {seconds} s")
        time.sleep(0.005)


def rq_worker(socket):
    import logging
    import redis
    import rq

    logging.disable(logging.CRITICAL)
    connection = redis.Redis(unix_socket_path=socket)
    rq.SimpleWorker([rq.Queue("q", connection=connection)], connection=connection).work()


def measure_rq(socket, jobs):
    import redis
    import rq

    connection = redis.Redis(unix_socket_path=socket)
    workers = [multiprocessing.Process(target=rq_worker, args=(socket,)) for _ in range(WORKERS)]
    for worker in workers:
        worker.start()
    try:
        wait_until(lambda: len(rq.Worker.all(connection=connection)) == WORKERS, "RQ's workers")
        queue = rq.Queue("waiting", connection=connection)  # in which nobody looks
        start = time.monotonic()
        for _ in range(jobs):
            queue.enqueue("queue_peers.nothing", PAYLOAD, result_ttl=0)
        submitted = time.monotonic() - start
        start = time.monotonic()
        connection.rename("rq:queue:waiting", "rq:queue:q")  # all at once, with the workers at the ready
        wait_until(lambda: connection.exists("rq:queue:q") == 0, "RQ", 600)
        seconds = time.monotonic() - start
    finally:
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.join()
    tell(f"RQ {rq.VERSION}", jobs / submitted, jobs / seconds, f"{WORKERS} processes")


CELERY_APP = """
import celery
app = celery.Celery("peer", broker="redis+socket://{socket}")
app.conf.task_ignore_result = True
app.conf.worker_hijack_root_logger = False
@app.task
def nothing(payload):
    pass
"""


def measure_celery(socket, jobs, folder):
    import celery
    import redis

    with open(os.path.join(folder, "peer.py"), "w", encoding="ascii") as file:
        file.write(CELERY_APP.format(socket=socket))
    sys.path.insert(0, folder)
    import peer

    connection = redis.Redis(unix_socket_path=socket)
    start = time.monotonic()
    for _ in range(jobs):
        peer.nothing.delay(PAYLOAD)
    submitted = time.monotonic() - start
    worker = subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", "peer", "worker", "--pool=threads", "-c", "50",
         "--without-gossip", "--without-mingle", "--without-heartbeat", "-l", "CRITICAL"],
        cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: connection.llen("celery") < jobs or worker.poll() is not None, "Celery's worker")
        if worker.poll() is not None:
            raise RuntimeError(f"Celery's worker ended with {worker.returncode}")
        start = time.monotonic()  # it has begun: its start is not counted
        left = connection.llen("celery") + connection.hlen("unacked")
        wait_until(lambda: connection.llen("celery") + connection.hlen("unacked") == 0, "Celery", 600)
        seconds = time.monotonic() - start
    finally:
        worker.terminate()
        worker.wait()
    tell(f"Celery {celery.__version__}", jobs / submitted, left / seconds, "50 threads")


def main():
    jobs = int(sys.argv[1]) if len(sys.argv) > 1 else 3000
    with tempfile.TemporaryDirectory() as folder:
        socket = os.path.join(folder, "redis.sock")
        server = subprocess.Popen(
            ["redis-server", "--port", "0", "--unixsocket", socket, "--dir", folder, "--save", "",
             "--appendonly", "yes", "--appendfsync", "everysec"], stdout=subprocess.DEVNULL)
        while not os.path.exists(socket):
            time.sleep(0.05)
        try:
            for name, measure in (("RQ", lambda: measure_rq(socket, jobs)),
                                  ("Celery", lambda: measure_celery(socket, jobs, folder))):
                try:
                    measure()
                except ImportError as missing:
                    print(json.dumps({"peer": name, "missing": str(missing)}), flush=True)
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
