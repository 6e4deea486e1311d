"""What the original does wrong, and where its documentation contradicts it: each has a test here that it would fail."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[2]
RUNS, VALUES, PORTS = "unit/orchestration/", "unit/context/", "unit/workflow/"
SCRIPTS, LISTS = "contract/test_documented_scripts.py", "contract/test_workflow_lists.py"

DEFECTS: dict[str, tuple[str, ...]] = {
    # An exception kills the server, and the next run waits for ever.
    "D1": (RUNS + "test_running_lists.py::test_failure_leaves_everything_usable", LISTS + "::test_failed_nodes"),
    # A node that raises is a success.
    "D2": (
        RUNS + "test_running_lists.py::test_failure_leaves_everything_usable",
        LISTS + "::test_failed_nodes",
        SCRIPTS + "::test_e04_running",
    ),
    # A failed save gives the value of an earlier round.
    "D3": (
        RUNS + "test_running_lists.py::test_nothing_stale",
        RUNS + "test_saved_values.py::test_records_of_other_runs",
    ),
    # Of two INPUT ports with one id only the last one gets the value.
    "D4": (
        RUNS + "test_running_lists.py::test_several_inputs_of_one_id",
        PORTS + "test_compilation.py::test_all_inputs_of_an_id_get_the_value",
        RUNS + "test_stitching.py::test_every_input_of_an_id_is_fed",
    ),
    # The same id in and out loses its input.
    "D5": (
        RUNS + "test_running_lists.py::test_same_id_in_and_out",
        LISTS + "::test_iterations",
    ),
    # References bind late.
    "D6": (
        RUNS + "test_running_lists.py::test_references_are_closed_early",
        RUNS + "test_run_references.py::test_values_of_references_stay",
    ),
    # Model, clip and vae bring a loader each, and none is ever cached.
    "D7": (
        RUNS + "test_running_lists.py::test_one_load_in_all",
        SCRIPTS + "::test_r03_advanced",
    ),
    # Stored on disk twice, a value is lost.
    "D8": (
        RUNS + "test_running_lists.py::test_disk_only",
        VALUES + "test_workflow_context.py::test_disk_twice_keeps_the_value",
    ),
    # max_ram_gb is ignored.
    "D9": (VALUES + "test_context_settings.py::test_precedence_of_the_limit", SCRIPTS + "::test_e07_context"),
    # The end of a context that was only opened frees its owner's data.
    "D10": (VALUES + "test_workflow_context.py::test_opened_context_sees_the_same_values",),
    # Signal handlers are replaced, and each context is kept alive.
    "D11": (
        VALUES + "test_neighbours.py::test_signal_handlers_stay",
        VALUES + "test_neighbours.py::test_exit_hooks_do_not_pile_up",
        VALUES + "test_ends.py::test_dropped_context_is_removed",
    ),
    # A full /dev/shm kills the process.
    "D12": (VALUES + "test_ends.py::test_small_shared_memory_is_survived",),
    # Ids become paths, and what lies there is run.
    "D13": (
        VALUES + "test_workflow_context.py::test_run_id_never_becomes_another_path",
        VALUES + "test_workflow_context.py::test_ids_never_become_paths",
        "unit/nodes/test_server_values.py::test_no_pickle",
        "contract/test_context_values.py::test_prompts_name_no_paths",
    ),
    # Folders that anybody may read, or own.
    "D14": (
        VALUES + "test_workflow_context.py::test_files_are_private",
        "unit/nodes/test_server_values.py::test_folders_of_somebody_else",
        "unit/core/test_claimed_folders.py::test_root_is_private",
    ),
    # Export removes the value before it fails.
    "D15": (
        VALUES + "test_workflow_context.py::test_export_checks_first",
        VALUES + "test_workflow_context.py::test_export_to_a_bare_name",
    ),
    # The server does not find a context with a folder of its own.
    "D16": (RUNS + "test_run_values.py::test_folders_of_the_context",),
    # Of a list output only the last item is saved.
    "D17": (RUNS + "test_running_lists.py::test_list_output", LISTS + "::test_lists"),
    # Types are lost behind reroutes.
    "D18": (
        RUNS + "test_port_discovery.py::test_roles_and_types",
        RUNS + "test_port_discovery.py::test_combos_of_old_files_are_known",
        PORTS + "test_prompt_ports.py::test_sources_targets_and_types",
    ),
    # Unknown types are pickled.
    "D19": (
        RUNS + "test_pass_by_rules.py::test_rule_of_a_type",
        RUNS + "test_running_lists.py::test_unknown_types_are_auto",
    ),
    # Subgraphs, group nodes, schema 1.0 and null among the links.
    "D20": (
        RUNS + "test_port_discovery.py::test_ports_in_subgraphs",
        RUNS + "test_port_discovery.py::test_null_among_the_links",
        RUNS + "test_stitching.py::test_subgraphs_come_along",
        RUNS + "test_stitching.py::test_group_nodes_come_along",
    ),
    # Muted ports come back.
    "D21": (
        RUNS + "test_run_errors_and_events.py::test_muted_sources",
        PORTS + "test_prompt_ports.py::test_a_port_with_a_muted_source_is_no_input",
    ),
    # A missing value is found by a node in the middle of the run.
    "D22": (RUNS + "test_running_lists.py::test_missing_values", LISTS + "::test_nothing_is_sent"),
    # Tensors travel with their device.
    "D23": (
        VALUES + "test_tensors.py::test_tensors_come_back_as_tensors",
        RUNS + "test_picture_tools.py::test_tensors_of_any_device_and_type",
    ),
    # Pictures carry no workflow.
    "D24": (
        RUNS + "test_running_lists.py::test_each_workflow_is_converted_once",
        LISTS + "::test_workflows_of_the_ui",
    ),
    # Runs that overlap close each other's socket.
    "D25": (LISTS + "::test_overlapping_calls", SCRIPTS + "::test_e18_parallel"),
    # The server waits for the lock of the index.
    "D26": ("unit/nodes/test_context_nodes.py::test_server_writes_no_index",),
    # Memory storage that cannot work on other systems.
    "D27": (VALUES + "test_storage.py::test_without_a_file_system_in_memory",),
    # What a killed program leaves stays for good.
    "D28": (VALUES + "test_ends.py::test_killed_program_leaves_nothing_after_the_next_start",),
    # The same id made twice.
    "D29": (VALUES + "test_workflow_context.py::test_opening_and_making_by_id",),
    # A lock in a folder that goes, and a warning each time.
    "D30": (
        VALUES + "test_neighbours.py::test_logging_is_the_programs",
        VALUES + "test_neighbours.py::test_lock_is_not_in_the_way_of_the_end",
    ),
    # Each workflow is converted in each iteration.
    "D31": (RUNS + "test_running_lists.py::test_each_workflow_is_converted_once",),
    # The test runner never gives anything, and leaves its server.
    "D32": (
        "contract/test_runner_node.py::test_models_by_wire",
        "contract/test_runner_node.py::test_same_id_in_and_out",
        "contract/test_runner_node.py::test_errors_of_workflows",
    ),
    # Ports that were left at the default id collide.
    "D33": (
        PORTS + "test_prompt_ports.py::test_problems",
        RUNS + "test_port_discovery.py::test_duplicates_and_ports_without_a_name",
        SCRIPTS + "::test_e21_nodes",
    ),
    # A handler of its own for each object.
    "D34": (VALUES + "test_neighbours.py::test_logging_is_the_programs",),
    # What is stored wins over the rules.
    "D35": (RUNS + "test_running_lists.py::test_value_decides",),
    # Each context counts the memory for itself.
    "D36": (VALUES + "test_neighbours.py::test_contexts_share_what_is_free",),
    # The caller's workflow is changed.
    "D37": (RUNS + "test_reduction.py::test_reroutes_of_a_whole_workflow",),
}

CONTRADICTIONS: dict[str, tuple[str, ...]] = {
    # What load gives for a reference.
    "C1": (RUNS + "test_run_references.py::test_references_are_json",),
    # A model is saved by the client.
    "C2": (
        VALUES + "test_codecs.py::test_what_cannot_be_stored_is_named",
        RUNS + "test_run_values.py::test_objects_of_the_server_need_references",
    ),
    # The inputs of a port, and of the internal nodes.
    "C3": ("unit/nodes/test_port_node.py::test_names_are_the_documented_ones",),
    "C4": (RUNS + "test_port_discovery.py::test_context_handlers",),
    # Percent of what.
    "C5": (VALUES + "test_context_settings.py::test_precedence_of_the_limit",),
    # The name of the index.
    "C6": (VALUES + "test_neighbours.py::test_index_is_documented",),
    # How many values a context has after a run with three inputs.
    "C7": (SCRIPTS + "::test_e19_new_context",),
    # Duplicate ids.
    "C8": (
        RUNS + "test_run_errors_and_events.py::test_everything_at_once",
        RUNS + "test_port_discovery.py::test_duplicates_and_ports_without_a_name",
    ),
    # Disk where memory is full.
    "C9": (VALUES + "test_storage.py::test_full_disk", SCRIPTS + "::test_e09_memory"),
    # Rules that are missing or wrong.
    "C10": (
        RUNS + "test_pass_by_rules.py::test_a_wrong_file_is_an_error",
        RUNS + "test_pass_by_rules.py::test_a_named_file_that_is_missing",
    ),
    # Types of stitched workflows.
    "C11": (RUNS + "test_stitching.py::test_types_that_exclude_each_other",),
    # Reroutes need not be removed.
    "C12": (RUNS + "test_port_discovery.py::test_roles_and_types", SCRIPTS + "::test_e12_tools"),
    # Folders for pictures.
    "C13": (RUNS + "test_picture_tools.py::test_folders_are_made",),
    # The error of a circle.
    "C14": (RUNS + "test_port_discovery.py::test_a_circle_is_an_error_that_names_its_nodes",),
    # Iterations without a port for the seed are equal.
    "C15": (SCRIPTS + "::test_e04_running",),
    # JSON with comments.
    "C16": (VALUES + "test_context_settings.py::test_comments_and_trailing_commas",),
    # Where the workflows of the examples are.
    "C17": (PORTS + "test_shipped_workflows.py::test_no_file_is_missing", SCRIPTS + "::test_r01_seeds"),
    # When the values of a run are there.
    "C18": (VALUES + "test_run_view.py::test_commit_is_all_at_once",),
}


@cache
def _names(path: str) -> frozenset[str]:
    tree = ast.parse((TESTS / path).read_text(encoding="utf-8"))
    return frozenset(each.name for each in tree.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef))


@pytest.mark.parametrize("key", [*DEFECTS, *CONTRADICTIONS])
def test_promise_has_its_tests(key: str) -> None:
    """Each of them exists."""
    for name in (DEFECTS | CONTRADICTIONS)[key]:
        path, _, function = name.partition("::")
        assert function in _names(path), name


def test_no_promise_is_missing() -> None:
    """37 defects and 18 contradictions."""
    assert DEFECTS.keys() == {f"D{number}" for number in range(1, 38)}
    assert CONTRADICTIONS.keys() == {f"C{number}" for number in range(1, 19)}
