"""Checks of the versions, features and lists that a server reports; newer releases report more."""

from __future__ import annotations

import re
from urllib.parse import quote

from comfyui_conformance.model import Skip, add, check
from comfyui_conformance.probe import PREFIX, Probe

_STATS = "server.py: system_stats"
_FEATURES = "comfy_api/feature_flags.py: get_server_features"
_INFO = "server.py: node_info"


@check(_STATS, before="manager-extension")
async def os_family(server: Probe) -> None:
    """The system's name is that of its family: posix or nt."""
    found = (await server.read("/system_stats"))["system"].get("os")
    server.holds("os", found in ("posix", "nt"), "posix or nt", found)


@check(_STATS, since="manager-extension")
async def os_platform(server: Probe) -> None:
    """The system's name is Python's name of the platform, such as linux."""
    found = (await server.read("/system_stats"))["system"].get("os")
    named = isinstance(found, str) and re.match(r"linux|darwin|win32|cygwin|freebsd|aix", found)
    server.holds("os", named, "linux, darwin, win32, …", found)


@check(_STATS, since="package-versions")
async def package_versions(server: Probe) -> None:
    """Packages that ComfyUI needs are listed with their installed and required versions."""
    found = (await server.read("/system_stats"))["system"].get("comfy_package_versions")
    server.holds("comfy_package_versions", isinstance(found, list), "a list", found)
    for package in found or []:
        server.keys("a package", package, {"name", "installed", "required"})


@check(_STATS, since="deployment")
async def deployment(server: Probe) -> None:
    """The server says how ComfyUI was installed."""
    found = (await server.read("/system_stats"))["system"].get("deploy_environment")
    server.holds("deploy_environment", isinstance(found, str) and found, "a text", found)


@check(_FEATURES, since="manager-extension")
async def manager_feature(server: Probe) -> None:
    """The features say whether the manager is supported."""
    found = (await server.read("/features")).get("extension")
    server.has("extension", found, {"manager": {"supports_v4": True}})


def _feature(name: str, since: str, kind: str) -> None:
    async def run(server: Probe) -> None:
        found = (await server.read("/features")).get(name)
        server.holds(name, isinstance(found, bool), kind, found)

    add("discovery", f"feature_{name}", f"The features have {name}, which is {kind}.", _FEATURES, run, since=since)


_feature("node_replacements", "node-replacements", "true or false")
_feature("assets", "assets", "true or false")
_feature("supports_model_type_tags", "model-extensions", "true or false")


def _key(key: str, class_type: str, since: str) -> None:
    async def run(server: Probe) -> None:
        server.keys(class_type, (await server.read(f"/object_info/{class_type}"))[class_type], {key})

    expects = f"The definition of {class_type} has the key {key}."
    add("discovery", f"definition_{key}", expects, _INFO, run, nodes=(class_type,), since=since)


_key("output_matchtypes", "ImageBlend", "dynamic-inputs")
_key("search_aliases", "EmptyImage", "search-aliases")
_key("is_input_list", "EmptyImage", "input-lists")
_key("has_intermediate_output", "EmptyImage", "intermediate-outputs")


def _folders(change: str, *names: str) -> None:
    async def run(server: Probe) -> None:
        found = await server.read("/models")
        server.same("folders", [name for name in names if name in found], list(names))

    expects = f"There is a model folder {' and one '.join(names)}."
    add("discovery", change, expects, "folder_paths.py", run, since=change)


_folders("folder-upscale-latents", "latent_upscale_models")
_folders("folder-interpolation", "frame_interpolation")
_folders("folder-backgrounds", "background_removal", "optical_flow")
_folders("folder-geometry", "geometry_estimation")
_folders("folder-detection", "detection")
_folders("folder-datasets", "datasets")


@check("app/model_manager.py: get_experiment_models", since="model-extensions")
async def model_extensions(server: Probe) -> None:
    """Model folders are listed with the file extensions that they accept."""
    for folder in await server.read("/experiment/models"):
        server.keys("a folder", folder, {"name", "folders", "extensions"})


async def _preview(server: Probe, path: str) -> int:
    return (await server.get(f"/experiment/models/preview/{path}")).status


@check("app/model_manager.py: get_model_preview", since="downloads")
async def model_previews(server: Probe) -> None:
    """A preview of an unknown model folder is 404, with a bad number 400, and out of the folder 403."""
    server.same("status of an unknown folder", await _preview(server, f"{PREFIX}/0/x"), 404)
    server.same("status of a bad number", await _preview(server, "checkpoints/x/x"), 400)
    outside = quote("../../x", safe="")
    server.same("status outside of the folder", await _preview(server, f"checkpoints/0/{outside}"), 403)


@check("app/subgraph_manager.py", since="subgraphs")
async def subgraphs(server: Probe) -> None:
    """Subgraphs are listed with their name and where they come from; one alone has its data; an unknown one is null."""
    found = await server.read("/global_subgraphs")
    for entry in found.values():
        server.keys("a subgraph", entry, {"source", "name", "info"})
    for name in list(found)[:1]:
        one = await server.read(f"/global_subgraphs/{name}")
        server.holds("data of one", isinstance(one.get("data"), str), "a text", one)
    server.same("an unknown one", await server.read(f"/global_subgraphs/{PREFIX}"), None)


@check("app/subgraph_manager.py", before="subgraphs")
async def no_subgraphs(server: Probe) -> None:
    """There is no list of subgraphs."""
    server.same("status", (await server.get("/global_subgraphs")).status, 404)


@check("app/node_replace_manager.py", since="node-replacements")
async def replacements(server: Probe) -> None:
    """Classes that are replaced are listed with their successors."""
    for name, entries in (await server.read("/node_replacements")).items():
        for entry in entries:
            server.has(f"old class of {name}", entry, {"old_node_id": name})
            server.keys(f"successor of {name}", entry, {"new_node_id"})


@check("app/assets/api/routes.py", since="assets")
async def assets_disabled(server: Probe) -> None:
    """Where assets are not managed, their routes are 503 with the code SERVICE_DISABLED."""
    if (await server.read("/features")).get("assets"):
        raise Skip("the server manages assets (--enable-assets)")
    for path in ("/api/assets", "/api/tags"):
        answer = await server.get(path)
        server.same(f"status of {path}", answer.status, 503)
        server.has("body", answer.json(), {"error": {"code": "SERVICE_DISABLED"}})


async def _listed(server: Probe, name: str) -> list[str]:
    """The files in the temporary folder whose names contain ``name``, one of which is new."""
    await server.put(name)
    return [found for found in await server.read("/internal/files/temp") if name in found]


_FILES = "api_server/routes/internal/internal_routes.py"


@check(_FILES, before="typed-file-names")
async def plain_file_names(server: Probe) -> None:
    """Files are listed by their names."""
    name = f"{server.name()}.txt"
    server.same("entries", await _listed(server, name), [name])


@check(_FILES, since="typed-file-names")
async def typed_file_names(server: Probe) -> None:
    """Files are listed by their names with the folder in brackets."""
    name = f"{server.name()}.txt"
    server.same("entries", await _listed(server, name), [f"{name} [temp]"])


@check(_FILES, before="hidden-files")
async def hidden_files_listed(server: Probe) -> None:
    """Files whose names begin with a dot are listed too."""
    name = f".{server.name()}"
    server.same("entries", await _listed(server, name), [name])


@check(_FILES, since="hidden-files")
async def hidden_files(server: Probe) -> None:
    """Files whose names begin with a dot are not listed."""
    server.same("entries", await _listed(server, f".{server.name()}"), [])
