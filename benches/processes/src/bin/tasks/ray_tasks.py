"""Prints how many empty tasks a second Ray runs: `ray_tasks.py TASKS WORKERS`."""

import sys
import time

import ray


@ray.remote
def empty():
    return None


tasks, workers = int(sys.argv[1]), int(sys.argv[2])
ray.init(num_cpus=workers, include_dashboard=False, log_to_driver=False)
ray.get([empty.remote() for _ in range(200)])
started = time.perf_counter()
ray.get([empty.remote() for _ in range(tasks)])
print(tasks / (time.perf_counter() - started))
ray.shutdown()
