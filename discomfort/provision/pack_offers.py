"""Ways to install each missing pack, or the reason why there is none. A workflow's words are checked before use."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from yarl import URL

from discomfort.discovery.interpreters import has_module
from discomfort.exceptions import DownloadError, UploadError
from discomfort.files.places import check_name
from discomfort.planning.needs import CORE_PACK, PackNeed
from discomfort.provision.addresses import checked_url, names_private_address
from discomfort.provision.proposal import Obstacle, PackOffer
from discomfort.provision.server_site import ServerSite

_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,200}")
_VERSION = re.compile(r"[A-Za-z0-9][\w.+-]{0,100}")
_SHORT = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_OLD_MANAGER = ("ComfyUI-Manager", "comfyui-manager")


class PackWays:
    """Finds the way for each pack of one server: the manager, comfy-cli, or git. Blocking: looks at the disk.

    ``allows_private`` permits repositories on http, and at addresses of a private network.
    """

    def __init__(self, site: ServerSite, environ: Mapping[str, str], *, allows_private: bool) -> None:
        self._site, self._environ, self._allows_private = site, environ, allows_private

    def offer(self, need: PackNeed) -> PackOffer | Obstacle:
        """How the pack can be installed, or why it cannot."""
        name = need.pack_id or need.repository or ", ".join(need.class_types)
        if need.pack_id == CORE_PACK:
            return Obstacle("pack", name, "these nodes are ComfyUI's own: update ComfyUI")
        if not self._site.is_ours:
            return Obstacle("pack", name, "packs are installed only for a server that the connector starts itself")
        if self._site.custom_nodes is None:
            return Obstacle("pack", name, "the server has no folder of node packs that is known")
        if need.version is not None and not _VERSION.fullmatch(need.version):
            return Obstacle("pack", name, f"{need.version[:100]!r} is not a version")
        if need.pack_id is not None and not _ID.fullmatch(need.pack_id):
            return Obstacle("pack", name, "its name is not one of the Comfy registry")
        if need.import_error is not None:
            return self._repair(need, name, self._site.custom_nodes)
        return self._by_tool(need, self._site.custom_nodes) or self._by_git(need, name, self._site.custom_nodes)

    def _repair(self, need: PackNeed, name: str, custom_nodes: Path) -> PackOffer | Obstacle:
        names = {each.lower() for each in (need.pack_id, _repository_name(need.repository)) if each}
        folders = [path for path in sorted(custom_nodes.iterdir()) if path.name.lower() in names and path.is_dir()]
        if not folders or not (folders[0] / "requirements.txt").is_file():
            return Obstacle("pack", name, f"it is installed and does not load: {need.import_error}")
        return PackOffer(need, "requirements", folders[0].name, str(folders[0]), folders[0], self._site.python)

    def _by_tool(self, need: PackNeed, custom_nodes: Path) -> PackOffer | None:
        root, pack_id = self._site.root, need.pack_id
        # Both work on the folder of packs below ComfyUI itself, and on no other.
        if pack_id is None or root is None or custom_nodes.resolve() != (root / "custom_nodes").resolve():
            return None
        python, folder = self._site.python, custom_nodes / pack_id
        spec = f"{pack_id}@{need.version}" if need.version else pack_id
        manager = self._manager(python, custom_nodes)
        if manager is not None:
            words = (*manager, "install", spec, "--exit-on-fail")
            variables = (("COMFYUI_PATH", str(root)),)
            return PackOffer(need, "manager", pack_id, "the Comfy registry", folder, python, words, variables)
        comfy = shutil.which("comfy", path=self._environ.get("PATH"))
        if comfy is None:
            return None
        version = ("--version", need.version) if need.version else ()
        words = (comfy, "--skip-prompt", "--workspace", str(root), "node", "registry-install", pack_id, *version)
        return PackOffer(need, "comfy-cli", pack_id, "the Comfy registry", folder, python, words)

    def _manager(self, python: str, custom_nodes: Path) -> tuple[str, ...] | None:
        if has_module(python, "cm_cli"):
            return python, "-m", "cm_cli"
        scripts = (custom_nodes / name / "cm-cli.py" for name in _OLD_MANAGER)
        return next(((python, str(script)) for script in scripts if script.is_file()), None)

    def _by_git(self, need: PackNeed, name: str, custom_nodes: Path) -> PackOffer | Obstacle:
        if need.repository is None:
            if need.pack_id is None:
                also = f"; packs that may have them: {', '.join(need.candidates[:3])}" if need.candidates else ""
                return Obstacle("pack", name, f"nothing tells which pack has these nodes{also}")
            reason = "only its name in the Comfy registry is known, and neither ComfyUI-Manager nor comfy-cli is there"
            return Obstacle("pack", name, f"{reason}; pip install comfy-cli, and try again")
        if shutil.which("git", path=self._environ.get("PATH")) is None:
            return Obstacle("pack", name, "git is not installed")
        short = f"https://github.com/{need.repository}" if _SHORT.fullmatch(need.repository) else need.repository
        try:
            url = checked_url(short, name)
            folder = _repository_name(str(url)) or ""
            check_name(folder, "the name of its repository")
        except (DownloadError, UploadError) as error:
            return Obstacle("pack", name, str(error))
        if problem := self._problem(url, folder):
            return Obstacle("pack", name, problem)
        return PackOffer(need, "git", folder, str(url), custom_nodes / folder, self._site.python)

    def _problem(self, url: URL, folder: str) -> str:
        if folder.startswith((".", "-")) or folder.endswith(".disabled"):
            return f"{folder!r} is not a name for the folder of a pack"
        if self._allows_private:
            return ""
        if url.scheme != "https" or names_private_address(url):
            return "its repository is not at an encrypted address of the internet; allow_private=True permits it"
        return ""


def _repository_name(repository: str | None) -> str | None:
    """The last part of a repository's address, without ``.git``."""
    if not repository:
        return None
    return repository.partition("?")[0].rstrip("/").rpartition("/")[2].removesuffix(".git") or None
