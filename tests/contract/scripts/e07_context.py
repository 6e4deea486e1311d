"""The page about contexts, from the first line to the last."""

import numpy as np
from custom_nodes.discomfort.workflow_context import WorkflowContext


def error_of(call):
    """The class of the error that a call raises."""
    try:
        call()
    except Exception as e:
        return type(e)
    return None


async def main():
    told = {}
    for arguments in ({}, {"max_ram_gb": 4.0}, {"run_id": "my-run"}):
        with WorkflowContext(**arguments) as context:
            told[next(iter(arguments), "default")] = (context.run_id, context.get_usage()["ram_capacity_gb"])
    context = WorkflowContext(max_ram_gb=1.0)
    values = {
        "text": "a cat", "seed": 42, "cfg": 7.5, "image": np.full((1, 32, 32, 3), 0.5, np.float32),
        "config": {"steps": 20, "sizes": [512, 768]},
    }  # fmt: skip
    for unique_id, value in values.items():
        context.save(unique_id, value)
    context.save("on_disk", values["image"], use_ram=False)
    told["loaded"] = {unique_id: context.load(unique_id) for unique_id in values}
    told["info"] = [context.get_storage_info(name) for name in ("image", "on_disk", "missing")]
    told["keys"] = context.list_keys()
    told["usage"] = context.get_usage()
    with WorkflowContext(run_id=context.run_id, create=False) as other:
        told["shared"] = other.load("seed")
    context.export_data("image", "exported/image.pkl")
    context.export_data("config", "config.pkl")
    context.save("config", {"steps": 30})
    told["exists"] = error_of(lambda: context.export_data("config", "config.pkl"))
    context.export_data("config", "config.pkl", overwrite=True)
    told["exported"] = context.list_keys()
    told["missing"] = error_of(lambda: context.load("image"))
    context.shutdown()
    context.shutdown()
    told["after"] = (context.list_keys(), context.get_usage()["stored_keys_count"], context.get_storage_info("seed"))
    told["gone"] = error_of(lambda: WorkflowContext(run_id=context.run_id, create=False))
    told["no config"] = error_of(lambda: WorkflowContext(config_path="no_such_file.json"))
    told["no id"] = error_of(lambda: WorkflowContext(create=False))
    return told
