#!/usr/bin/python3
"""What RQ and Celery do on the same machine: jobs with nothing to do, taken and completed a second.

A private redis-server with the settings of ours; WORKERS processes (RQ) or one worker with 50 threads
(Celery), both with results switched off. Says which of the two is not installed. Debian: python3-rq, celery.
  queue_peers.py [JOBS]
"""
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


def rq_worker(socket):
    import logging
    import redis
    import rq

    logging.disable(logging.CRITICAL)
    connection = redis.Redis(unix_socket_path=socket)
    rq.SimpleWorker([rq.Queue("q", connection=connection)], connection=connection).work(burst=True)


def measure_rq(socket, jobs):
    import redis
    import rq

    connection = redis.Redis(unix_socket_path=socket)
    queue = rq.Queue("q", connection=connection)
    start = time.monotonic()
    for _ in range(jobs):
        queue.enqueue("queue_peers.nothing", PAYLOAD, result_ttl=0)
    submitted = time.monotonic() - start
    workers = [multiprocessing.Process(target=rq_worker, args=(socket,)) for _ in range(WORKERS)]
    start = time.monotonic()
    for worker in workers:
        worker.start()
    while len(queue) > 0:
        time.sleep(0.02)
    seconds = time.monotonic() - start
    for worker in workers:
        worker.join()
    print(f"RQ {rq.VERSION}: submit {jobs / submitted:.0f} /s, take+complete {jobs / seconds:.0f} /s "
          f"({WORKERS} workers)", flush=True)


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
    while connection.llen("celery") >= jobs:
        time.sleep(0.02)
    start = time.monotonic()  # it has begun: its start is not counted
    left = connection.llen("celery") + connection.hlen("unacked")
    while connection.llen("celery") + connection.hlen("unacked") > 0:
        time.sleep(0.02)
    seconds = time.monotonic() - start
    worker.terminate()
    worker.wait()
    print(f"Celery {celery.__version__}: submit {jobs / submitted:.0f} /s, "
          f"take+complete {left / seconds:.0f} /s (50 threads)", flush=True)


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
                    print(f"{name}: not installed ({missing})")
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
