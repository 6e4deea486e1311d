"""The plan of one call: that of its workflow, with the values of the call instead of the workflow's."""

from __future__ import annotations

from dataclasses import replace

from discomfort.functions.bound_call import BoundCall
from discomfort.planning.workflow_plan import WorkflowPlan


def plan_of_call(plan: WorkflowPlan, call: BoundCall) -> WorkflowPlan:
    """What is needed for the call, out of what its workflow needs: its inputs are not those that the workflow has.

    The problems of the call are among those of the plan.
    """
    inputs = call.workflow.interface.inputs
    given = [name for name in inputs if name in call.given]
    set_here = {str(target) for name in given for target in inputs[name].targets}
    # The default of an input is what the workflow has: the plan says what is wrong with it.
    own = [each for each in call.problems if each.name in call.given or each.name not in call.deliveries]
    return replace(
        plan,
        models=tuple(each for each in plan.models if not each.inputs or not set_here.issuperset(each.inputs)),
        files=tuple(each for each in plan.files if each.input not in set_here),
        values=tuple(each for each in plan.values if each.input not in set_here),
        problems=(*plan.problems, *map(str, own)),
    )
