"""Names of labels and annotations that several parts of the cluster read."""

from __future__ import annotations

WORKLOAD_ANNOTATION = "ksched.dev/workload"
"""Which workload a pod belongs to; the key of what its containers do."""

INDEX_ANNOTATION = "ksched.dev/index"
"""A pod's index within its workload, where no Job gives it one."""

COMPLETION_INDEX = "batch.kubernetes.io/job-completion-index"
"""Annotation and label of an Indexed Job's pods."""
