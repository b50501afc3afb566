"""Rules for the controllers of pods."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from ksched.objects.meta import LabelSelector
from ksched.objects.pod import PodTemplateSpec
from ksched.objects.selectors import LabelSelectorMatcher
from ksched.objects.workloads import (
    CronJob,
    DaemonSet,
    Deployment,
    Job,
    JobSpec,
    ReplicaSet,
    ReplicationController,
    RollingUpdate,
    StatefulSet,
)

from . import names
from .field_errors import FieldErrors
from .metadata import check_label_selector, check_labels
from .pods import check_pod_spec

_MAX_INT32: Final = 2**31 - 1
_SCHEDULE_MACROS: Final = ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")


def check_deployment(errors: FieldErrors, deployment: Deployment) -> None:
    """A Deployment."""
    spec = deployment.spec
    errors.within("spec.replicas", spec.replicas, 0, _MAX_INT32)
    errors.at_least("spec.minReadySeconds", spec.min_ready_seconds, 0)
    errors.at_least("spec.revisionHistoryLimit", spec.revision_history_limit, 0)
    _check_selected_template(errors, spec.selector, spec.template)
    if spec.strategy is not None:
        errors.one_of("spec.strategy.type", spec.strategy.type, ("Recreate", "RollingUpdate"))
        rolling = spec.strategy.rolling_update
        if spec.strategy.type == "Recreate" and rolling is not None:
            errors.forbidden("spec.strategy.rollingUpdate", "may not be specified when strategy type is Recreate")
        elif rolling is not None:
            _check_rolling(errors, "spec.strategy.rollingUpdate", rolling)
    if spec.progress_deadline_seconds is not None:
        errors.at_least("spec.progressDeadlineSeconds", spec.progress_deadline_seconds, 0)
        if spec.progress_deadline_seconds <= (spec.min_ready_seconds or 0):
            errors.invalid(
                "spec.progressDeadlineSeconds", spec.progress_deadline_seconds, "must be greater than minReadySeconds"
            )


def check_replica_set(errors: FieldErrors, replica_set: ReplicaSet) -> None:
    """A ReplicaSet."""
    spec = replica_set.spec
    errors.within("spec.replicas", spec.replicas, 0, _MAX_INT32)
    errors.at_least("spec.minReadySeconds", spec.min_ready_seconds, 0)
    _check_selected_template(errors, spec.selector, spec.template)


def check_replication_controller(errors: FieldErrors, controller: ReplicationController) -> None:
    """A ReplicationController. Its template may be left out: spreading reads the selector alone."""
    spec = controller.spec
    errors.within("spec.replicas", spec.replicas, 0, _MAX_INT32)
    check_labels(errors, "spec.selector", spec.selector)
    if not spec.selector:
        errors.required("spec.selector")
    if spec.template is not None:
        _check_template(errors, spec.template, ("Always",))
        if not LabelSelectorMatcher(spec.selector).matches(spec.template.metadata.labels):
            _mismatch(errors)


def check_stateful_set(errors: FieldErrors, stateful_set: StatefulSet) -> None:
    """A StatefulSet."""
    spec = stateful_set.spec
    errors.within("spec.replicas", spec.replicas, 0, _MAX_INT32)
    errors.at_least("spec.minReadySeconds", spec.min_ready_seconds, 0)
    errors.one_of("spec.podManagementPolicy", spec.pod_management_policy, ("OrderedReady", "Parallel"))
    if spec.update_strategy is not None:
        errors.one_of("spec.updateStrategy.type", spec.update_strategy.type, ("RollingUpdate", "OnDelete"))
        rolling = spec.update_strategy.rolling_update
        if rolling is not None:
            errors.at_least("spec.updateStrategy.rollingUpdate.partition", rolling.partition, 0)
    if spec.ordinals is not None:
        errors.at_least("spec.ordinals.start", spec.ordinals.start, 0)
    _check_selected_template(errors, spec.selector, spec.template)


def check_daemon_set(errors: FieldErrors, daemon_set: DaemonSet) -> None:
    """A DaemonSet."""
    spec = daemon_set.spec
    errors.at_least("spec.minReadySeconds", spec.min_ready_seconds, 0)
    if spec.update_strategy is not None:
        errors.one_of("spec.updateStrategy.type", spec.update_strategy.type, ("RollingUpdate", "OnDelete"))
        if spec.update_strategy.rolling_update is not None:
            _check_rolling(errors, "spec.updateStrategy.rollingUpdate", spec.update_strategy.rolling_update)
    _check_selected_template(errors, spec.selector, spec.template)


def check_job(errors: FieldErrors, job: Job) -> None:
    """A Job."""
    _check_job_spec(errors, "spec", job.spec)


def check_cron_job(errors: FieldErrors, cron_job: CronJob) -> None:
    """A CronJob."""
    spec = cron_job.spec
    if not spec.schedule:
        errors.required("spec.schedule")
    elif not _is_schedule(spec.schedule):
        errors.invalid(
            "spec.schedule", spec.schedule, "must have five fields, like */5 * * * *, or be one of @hourly ..."
        )
    errors.one_of("spec.concurrencyPolicy", spec.concurrency_policy, ("Allow", "Forbid", "Replace"))
    errors.at_least("spec.startingDeadlineSeconds", spec.starting_deadline_seconds, 0)
    errors.at_least("spec.successfulJobsHistoryLimit", spec.successful_jobs_history_limit, 0)
    errors.at_least("spec.failedJobsHistoryLimit", spec.failed_jobs_history_limit, 0)
    _check_job_spec(errors, "spec.jobTemplate.spec", spec.job_template.spec)


def _is_schedule(text: str) -> bool:
    return text in _SCHEDULE_MACROS or text.startswith("@every ") or len(text.split()) == 5


def _check_job_spec(errors: FieldErrors, path: str, spec: JobSpec) -> None:
    errors.within(f"{path}.parallelism", spec.parallelism, 0, _MAX_INT32)
    errors.within(f"{path}.completions", spec.completions, 0, _MAX_INT32)
    errors.within(f"{path}.backoffLimit", spec.backoff_limit, 0, _MAX_INT32)
    errors.at_least(f"{path}.activeDeadlineSeconds", spec.active_deadline_seconds, 0)
    errors.at_least(f"{path}.ttlSecondsAfterFinished", spec.ttl_seconds_after_finished, 0)
    errors.one_of(f"{path}.completionMode", spec.completion_mode, ("NonIndexed", "Indexed"))
    errors.one_of(f"{path}.podReplacementPolicy", spec.pod_replacement_policy, ("Failed", "TerminatingOrFailed"))
    if spec.completion_mode == "Indexed" and spec.completions is None:
        errors.required(f"{path}.completions", "when completion mode is Indexed")
    if spec.selector is not None:
        check_label_selector(errors, f"{path}.selector", spec.selector)
    _check_template(errors, spec.template, ("OnFailure", "Never"), path)


def _check_selected_template(errors: FieldErrors, selector: LabelSelector | None, template: PodTemplateSpec) -> None:
    if selector is None:
        errors.required("spec.selector")
    else:
        check_label_selector(errors, "spec.selector", selector)
        matcher = LabelSelectorMatcher(selector)
        if matcher.empty:
            errors.invalid("spec.selector", "{}", "an empty selector is invalid here")
        elif not matcher.matches(template.metadata.labels):
            _mismatch(errors)
    _check_template(errors, template, ("Always",))


def _mismatch(errors: FieldErrors) -> None:
    errors.invalid("spec.template.metadata.labels", "labels", "the selector does not match the labels of the template")


def _check_template(
    errors: FieldErrors, template: PodTemplateSpec, restart_policies: Collection[str], path: str = "spec"
) -> None:
    check_labels(errors, f"{path}.template.metadata.labels", template.metadata.labels)
    check_pod_spec(errors, f"{path}.template.spec", template.spec)
    policy = template.spec.restart_policy or "Always"
    if policy not in restart_policies:
        errors.unsupported(f"{path}.template.spec.restartPolicy", policy, restart_policies)


def _check_rolling(errors: FieldErrors, path: str, rolling: RollingUpdate) -> None:
    for field, value in (("maxUnavailable", rolling.max_unavailable), ("maxSurge", rolling.max_surge)):
        check_int_or_percent(errors, f"{path}.{field}", value)
    if rolling.max_unavailable in (0, "0%") and rolling.max_surge in (0, "0%"):
        errors.invalid(f"{path}.maxUnavailable", rolling.max_unavailable, "cannot be 0 when maxSurge is 0")


def check_int_or_percent(errors: FieldErrors, path: str, value: int | str | None) -> None:
    """A number not below 0, or a percentage."""
    if isinstance(value, str):
        if (problem := names.percentage(value)) is not None:
            errors.invalid(path, value, problem)
    else:
        errors.within(path, value, 0, _MAX_INT32)
