"""The two files ``ksched init`` writes for a policy of one's own."""

from __future__ import annotations

POLICY = '''\
"""A policy of your own. Check it: ksched plugins check my_policy.py:MyPolicy"""


class MyPolicy:
    """Leaves every node a tenth of its memory, and prefers nodes with an SSD."""

    name = "MyPolicy"
    node_local = True  # what is returned for a node follows from that node and the pod's spec alone

    def filter(self, cycle, pod, nodes):
        """Why a node is rejected -> where; one entry per node."""
        left = nodes.free("memory") - pod.request("memory")
        return {"node keeps a tenth of its memory": left < nodes.allocatable("memory") // 10}

    def score(self, cycle, pod, nodes):
        """From 0 to 100 per node; more is better."""
        return 100 * (nodes.label("disktype") == "ssd")
'''

EXPERIMENT = """\
# Your policy against kube-scheduler's default profile.
#
#   ksched compare my_experiment.yaml
#
name: my-experiment
question: Does my policy place this workload better than the default profile?
baseline: {policy: default}

axes:
  policy:
    default:
      filter: [GpuShare]
    # Exactly these plugins score, with these weights.
    my-policy:
      score: {"my_policy.py:MyPolicy": 5, NodeResourcesFit: 1}
      filter: [GpuShare]
  # The seed breaks ties between equally good nodes.
  seed: [1, 2, 3]

trace:
  path: trace
  replay: {mode: timestamp}
"""

FILES = {"my_policy.py": POLICY, "my_experiment.yaml": EXPERIMENT}
"""File name -> content."""
