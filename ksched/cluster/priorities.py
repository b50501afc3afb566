"""What goes first among things that happen at the same instant; the one place that says so.

Each class below runs to its end, with everything it sets off at that instant, before the next begins. A container
that ends at the very moment a pod arrives has therefore freed its node before that pod is scheduled, and every pod
that arrives at one instant is in the queue before the first of them is scheduled.
"""

from __future__ import annotations

DELIVERY = 0
"""Messages on their way: requests, responses, watch events."""

KUBELET = 4
"""Kubelets report what they did."""

RECONCILE = 6
"""Controllers at work on what they were told."""

END = 10
"""Containers that end, grace periods that run out, deletions asked for from outside."""

ADD_NODE = 20
"""Nodes that join or change."""

SUBMIT = 30
"""Workloads and pods handed in from outside."""

SCHEDULE = 50
"""The scheduler takes the next pod from its queue."""

BIND = 55
"""Binding cycles, which run beside the scheduling cycles: what can be decided at an instant is decided first."""

OBSERVE = 60
"""Samples of the state that an instant leaves behind."""

PERIODIC = 70
"""Housekeeping nobody waits for: compaction."""
