"""What a sandbox runs: AWS's runtime client, and a watch that ends the process with the cloud that started it.

Started as `python -S -P bootstrap.py FD module.handler`. FD is the reading end of a pipe whose other end only the cloud
holds: when the cloud goes, however it goes, the pipe closes and the sandbox ends, in the middle of an event as well.
Nothing of this repository is imported here.
"""

import os
import runpy
import sys
import threading


def _end_with_the_cloud(pipe: int) -> None:
    os.read(pipe, 1)
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with_the_cloud, args=(int(sys.argv[1]),), daemon=True).start()
    sys.argv[1:] = sys.argv[2:]
    runpy.run_module("awslambdaric", run_name="__main__", alter_sys=True)
