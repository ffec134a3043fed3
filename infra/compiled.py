"""The functions' modules compiled for Lambda's Python, where a stack wants them (`parley:functions.compiled`).

Lambda cannot write beside the code, so that modules without compiled files are compiled at each start of an execution
environment: a seventh of the gate's start. What is made here is taken as it is (PEP 552, unchecked) and is the same
wherever a Python of that version makes it: marshalled without references, which depend on what else is loaded.
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_SCRIPT: Final = """
import base64, importlib.util, json, marshal, sys

made = {}
for name, path in json.load(sys.stdin):
    source = open(path, "rb").read()
    code = compile(source, "/var/task/" + name, "exec", dont_inherit=True, optimize=0)
    head = importlib.util.MAGIC_NUMBER + (1).to_bytes(4, "little") + importlib.util.source_hash(source)
    folder, _, module = name.rpartition("/")
    cached = f"{folder}/__pycache__/{module[:-3]}.{sys.implementation.cache_tag}.pyc"
    made[cached] = base64.b64encode(head + marshal.dumps(code, 2)).decode()
json.dump([list(sys.version_info[:2]), made], sys.stdout)
"""


class CompilerError(ValueError):
    """Nothing here compiles for that version of Python; the message says what to do."""


def compiled(files: Iterable[tuple[str, Path]], version: str) -> list[tuple[str, bytes]]:
    """Return name and content of the compiled file of each module, for a version of Python such as 3.13.

    Raises CompilerError.
    """
    modules = json.dumps([[name, str(path)] for name, path in files if name.endswith(".py")])
    own = f"{sys.version_info[0]}.{sys.version_info[1]}" == version
    python = sys.executable if own else shutil.which(f"python{version}")
    command = [python or "", "-I", "-S", "-c", _SCRIPT]
    done = subprocess.run(command, input=modules, capture_output=True, text=True, check=False) if python else None
    if done is None or done.returncode:
        raise CompilerError(
            f"parley:functions.compiled needs Python {version}, which runs the functions, and no `python{version}` on"
            f" PATH works: install it (`uv python install {version}`), or leave `compiled` out"
        )
    told, made = json.loads(done.stdout)
    if ".".join(map(str, told)) != version:
        raise CompilerError(f"{python} is Python {'.'.join(map(str, told))}, not {version}: put another one on PATH")
    return [(name, base64.b64decode(content)) for name, content in made.items()]
