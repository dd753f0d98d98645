"""The Python environment that the embedded Triton server runs in, built on first use.

It is apart from shoplens' own, because the server's python backend corrupts tensors silently with numpy 2. Its lock
file ships with the package; the environment lies in a cache folder of the user (`SHOPLENS_SERVING_CACHE`, else
`$XDG_CACHE_HOME/shoplens`), so that checkouts share its 390 MB, in a folder named by the lock's digest.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from shoplens.errors import ShoplensError
from shoplens.files import digest_file, locked, replacing_folder
from shoplens.progress import say
from shoplens.serving.child import ending_with_parent

LOCK = Path(__file__).parent / "environment" / "requirements.lock"
PYTHONS = ((3, 11), (3, 12))
GLIBC = (2, 35)
_ELSEWHERE = (
    "; run the packaged repository/gpu in NVIDIA's Triton image, or repository/embedded in any tritonserver that has a "
    "python backend (see docs/serving.md)"
)


def cache_folder() -> Path:
    """Where serving environments are kept."""
    override = os.environ.get("SHOPLENS_SERVING_CACHE")
    if override:
        return Path(override).absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute() / "shoplens"


def check_platform() -> None:
    """Say no where the server's binary cannot run.

    Raises:
        ShoplensError: off Linux x86-64, with a glibc older than 2.35 or another Python than 3.11 and 3.12.
    """
    system, machine = platform.system(), platform.machine()
    if (system, machine) != ("Linux", "x86_64"):
        raise ShoplensError(
            f"the embedded Triton server runs on Linux x86-64 only, this is {system} {machine}{_ELSEWHERE}"
        )
    name, version = platform.libc_ver()
    if name != "glibc" or tuple(int(part) for part in version.split(".")[:2]) < GLIBC:
        found = f"{name} {version}".strip() or "another C library"
        raise ShoplensError(f"the embedded Triton server needs glibc 2.35 or newer, this is {found}{_ELSEWHERE}")
    if sys.version_info[:2] not in PYTHONS:
        found = ".".join(map(str, sys.version_info[:2]))
        raise ShoplensError(
            f"the embedded Triton server needs Python 3.11 or 3.12, this is {found}: install shoplens with python3.11"
            f"{_ELSEWHERE}"
        )


def serving_python() -> Path:
    """The Python of the serving environment (`.../bin/python`), which is built first if it is not there.

    Two processes may call this at once: one builds, the other waits. A killed build is done again.

    Raises:
        ShoplensError: on an unsupported platform, or if the environment cannot be installed.
    """
    check_platform()
    digest = digest_file(LOCK)[:16]
    folder = cache_folder() / "serving-env" / f"{digest}-py{sys.version_info[0]}{sys.version_info[1]}"
    if not folder.exists():
        with locked(folder.with_name(f".{folder.name}.lock"), "the serving environment"):
            if not folder.exists():
                say(f"building the serving environment in {folder} (once, about 390 MB)")
                with replacing_folder(folder) as temporary:
                    build(temporary)
                say("the serving environment is ready")
    return folder / "bin" / "python"


def _uv() -> str | None:
    """uv on the PATH, beside the running interpreter, or in the checkout's `.uv` beside its `.venv`."""
    prefix = Path(sys.prefix)
    places = (prefix / "bin" / "uv", prefix.parent / ".uv" / "bin" / "uv")
    return next((str(place) for place in places if place.is_file()), None) or shutil.which("uv")


def build(folder: Path) -> None:
    """Install the locked packages into a virtual environment at `folder`, which may be renamed afterwards.

    Raises:
        ShoplensError: with the installer's last words.
    """
    python = str(folder / "bin" / "python")
    uv = _uv()
    if uv:
        _install([uv, "venv", "-q", "--allow-existing", "--python", sys.executable, str(folder)])
        _install([uv, "pip", "install", "-q", "--python", python, "--require-hashes", "--no-deps", "-r", str(LOCK)])
    else:
        _install([sys.executable, "-m", "venv", str(folder)])
        _install([python, "-m", "pip", "install", "-q", "--require-hashes", "--no-deps", "-r", str(LOCK)])
    _link_backend(folder)
    _install([python, "-c", "import numpy, onnxruntime, PIL; assert numpy.__version__.startswith('1.26.')"])


def _install(command: list[str]) -> None:
    wrapped = ending_with_parent(command)  # a killed build must not go on writing while the next one begins
    done = subprocess.run(wrapped, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode == 0:
        return
    hint = ""
    if command[1:3] == ["-m", "venv"]:
        hint = "\nOn Debian and Ubuntu: apt-get install python3-venv (or install uv)"
    raise ShoplensError(
        f"the serving environment could not be built: {' '.join(command)}\n{done.stdout.strip()[-2000:]}{hint}"
    )


def site_packages(environment: Path) -> Path:
    """The environment's site-packages."""
    return environment / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"


def _link_backend(environment: Path) -> None:
    """Put the python backend and this Python's stub into one folder, as the server wants it (the wheel has two)."""
    server = site_packages(environment) / "pytriton" / "tritonserver"
    backend = server / "backends" / "python"
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    stub = server / "python_backend_stubs" / version / "triton_python_backend_stub"
    target = environment / "backends" / "python"
    target.mkdir(parents=True)
    for source in (backend / "libtriton_python.so", backend / "triton_python_backend_utils.py", stub):
        os.link(source, target / source.name)
    # Without arguments the stub ends at once; 127 is the loader's "a library is missing".
    variables = os.environ | {"LD_LIBRARY_PATH": library_path(environment)}
    tried = subprocess.run([str(target / stub.name)], env=variables, capture_output=True, text=True)
    if tried.returncode == 127:
        raise ShoplensError(
            f"the server's Python worker does not start: {tried.stderr.strip()}\nIt needs Python as a shared library; "
            f"on Debian and Ubuntu: apt-get install libpython{version}"
        )


def library_path(environment: Path) -> str:
    """LD_LIBRARY_PATH of the server: its own libraries, and the folders where libpython may be."""
    base = Path(sysconfig.get_config_var("LIBDIR") or "/usr/lib")
    multiarch = sysconfig.get_config_var("MULTIARCH")
    folders = [site_packages(environment) / "nvidia_pytriton.libs", base, *([base / multiarch] if multiarch else [])]
    return ":".join(str(folder) for folder in folders)
