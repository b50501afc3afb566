"""Reading and writing manifests: nothing lost, and one clear message for everything wrong."""

import json
import time
import warnings
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ksched.errors import InputError
from ksched.objects import UnknownFieldWarning, parse, read_manifests, write_manifests

POD = """\
apiVersion: v1
kind: Pod
metadata:
  name: web
  labels: {app: web}
spec:
  containers:
  - name: c
    image: nginx
    resources: {requests: {cpu: 100m, memory: 1.50Gi}, limits: {cpu: 1}}
"""

# As `kubectl get -o yaml` prints them: a List, status, managedFields, nulls.
KUBECTL_LIST = {
    "apiVersion": "v1",
    "kind": "List",
    "metadata": {"resourceVersion": ""},
    "items": [
        {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {
                "name": "n1",
                "creationTimestamp": None,
                "labels": {"kubernetes.io/hostname": "n1"},
                "managedFields": [{"manager": "kubelet", "fieldsV1": {"f:status": {"f:conditions": {".": {}}}}}],
            },
            "spec": {"podCIDR": "10.0.0.0/24", "podCIDRs": ["10.0.0.0/24"], "providerID": "kind://n1", "taints": None},
            "status": {
                "allocatable": {"cpu": "7910m", "memory": "32Gi", "nvidia.com/gpu": "8", "hugepages-1Gi": "0"},
                "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}],
                "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
                "images": [{"names": ["nginx@sha256:1", "nginx:1"], "sizeBytes": 123}],
                "nodeInfo": {"machineID": "m", "systemUUID": "s", "bootID": "b", "kubeletVersion": "v1.30.14"},
                "conditions": [{"type": "Ready", "status": "True", "lastHeartbeatTime": "2024-01-01T00:00:00Z"}],
            },
        },
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "d", "namespace": "x", "generation": 3, "annotations": None},
            "spec": {
                "replicas": 2,
                "selector": {"matchLabels": {"app": "d"}},
                "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 0}},
                "template": {
                    "metadata": {"creationTimestamp": None, "labels": {"app": "d"}},
                    "spec": {
                        "containers": [
                            {
                                "name": "c",
                                "image": "i",
                                "livenessProbe": {"httpGet": {"path": "/", "port": "http", "scheme": "HTTP"}},
                                "envFrom": [{"configMapRef": {"name": "e"}}],
                                "resources": {},
                                "securityContext": {"capabilities": {"drop": ["ALL"]}},
                            }
                        ],
                        "volumes": [
                            {"name": "v", "persistentVolumeClaim": {"claimName": "p"}},
                            {"name": "w", "projected": {"sources": [{"downwardAPI": {"items": []}}]}},
                        ],
                        "securityContext": {},
                        "tolerations": [{"operator": "Exists"}],
                    },
                },
            },
            "status": {"replicas": 2, "conditions": [{"type": "Available", "status": "True", "reason": "R"}]},
        },
    ],
}


def test_what_kubectl_prints_comes_back_as_equal_data(tmp_path):
    for name, text in (("a.yaml", yaml.safe_dump(KUBECTL_LIST)), ("b.json", json.dumps(KUBECTL_LIST))):
        file = tmp_path / name
        file.write_text(text)
        objects = read_manifests(file)
        assert [obj.to_dict() for obj in objects] == KUBECTL_LIST["items"]
        written = tmp_path / "out.yaml"
        write_manifests(objects, written)
        assert list(yaml.safe_load_all(written.read_text())) == KUBECTL_LIST["items"]
        assert [obj.to_dict() for obj in read_manifests(written)] == KUBECTL_LIST["items"]


def test_several_documents_and_empty_ones():
    text = f"# a comment\n---\n{POD}---\n---\n{POD.replace('web', 'db')}...\n"
    assert [obj.name for obj in read_manifests(text)] == ["web", "db"]
    assert read_manifests("# nothing\n") == []


def test_typed_lists_give_their_items_the_kind():
    text = json.dumps({"apiVersion": "v1", "kind": "PodList", "items": [{"metadata": {"name": "a"}}]})
    (pod,) = read_manifests(text)
    assert (pod.kind, pod.name) == ("Pod", "a")
    assert read_manifests('{"apiVersion": "v1", "kind": "PodList", "items": null}') == []


def test_a_directory_is_read_in_the_order_of_its_names(tmp_path):
    (tmp_path / "2.yaml").write_text(POD)
    (tmp_path / "1.yml").write_text(POD.replace("web", "db"))
    (tmp_path / "README").write_text("not a manifest")
    assert [obj.name for obj in read_manifests(tmp_path)] == ["db", "web"]


def test_texts_that_look_like_something_else_survive():
    values = [
        "yes",
        "1.10",
        "0x10",
        "12:30",
        "2024-01-01",
        "null",
        "~",
        "1e3",
        "0o17",
        "",
        "a: b",
        "- x",
        "é\n",
        "=",
        "<<",
    ]
    labels = {f"k{index}": value for index, value in enumerate(values)}
    (pod,) = read_manifests(write_manifests([parse({"kind": "Pod", "metadata": {"name": "p", "annotations": labels}})]))
    assert pod.metadata.annotations == labels


def test_times_and_base_60_numbers_are_text():
    (pod,) = read_manifests(
        "kind: Pod\nmetadata:\n  name: p\n  creationTimestamp: 2024-01-01T00:00:00Z\n  labels: {t: 12:30:00}"
    )
    assert pod.metadata.creation_timestamp == "2024-01-01T00:00:00Z"
    assert pod.metadata.labels == {"t": "12:30:00"}


def test_merge_keys_and_anchors_work():
    (pod,) = read_manifests(
        "kind: Pod\nmetadata: &m {name: p, labels: &l {a: '1', b: '2'}}\nspec: {nodeSelector: {<<: *l, b: '3'}}"
    )
    assert pod.spec.node_selector == {"a": "1", "b": "3"}


# --- unknown fields -------------------------------------------------------------------------------------------------


def test_an_unknown_field_is_kept_and_named_with_its_place(tmp_path):
    file = tmp_path / "pod.yaml"
    file.write_text(POD.replace("resources:", "resourcez:"))
    with pytest.warns(UnknownFieldWarning) as caught:
        (pod,) = read_manifests(file)
    assert [str(w.message) for w in caught] == [
        f"{file}:10: Pod default/web: unknown field spec.containers[0].resourcez (did you mean resources?)"
    ]
    assert pod.to_dict()["spec"]["containers"][0]["resourcez"]["limits"] == {"cpu": 1}
    assert yaml.safe_load(write_manifests([pod])) == pod.to_dict()


def test_snake_case_is_unknown_in_manifests():
    with pytest.warns(UnknownFieldWarning, match=r"spec\.node_name \(did you mean nodeName\?\)"):
        pod = parse({"kind": "Pod", "metadata": {"name": "p"}, "spec": {"node_name": "n"}})
    assert pod.spec.node_name is None
    assert pod.to_dict()["spec"] == {"node_name": "n"}


def test_fields_of_untyped_parts_do_not_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        parse({"kind": "Pod", "metadata": {"name": "p"}, "spec": {"securityContext": {"runAsUser": 0, "anything": 1}}})


# --- errors ---------------------------------------------------------------------------------------------------------

BAD = [
    ("a stray colon", "kind: Pod\nmetadata:\n  name: a: b\n", r"^f\.yaml:3: malformed YAML: .*\n  3 \|   name: a: b\n"),
    ("a tab", "kind: Pod\n\tmetadata: x\n", r"^f\.yaml:2: malformed YAML"),
    ("an open bracket", "kind: Pod\nspec: {a: [1\n", r"^f\.yaml:\d: malformed YAML"),
    ("a key given twice", "kind: Pod\nkind: Node\n", r"^f\.yaml:2: .*'kind' is given twice"),
    (
        "a nested key given twice",
        "kind: Pod\nmetadata:\n  name: a\n  name: b\n",
        r"^f\.yaml:4: .*'name' is given twice",
    ),
    ("a list as document", "- a\n- b\n", r"^f\.yaml:1: a manifest is a map with apiVersion and kind, not a list"),
    ("a text as document", "---\nhello world\n", r"^f\.yaml:2: .*not the text 'hello world'"),
    ("no kind", "apiVersion: v1\nmetadata: {name: a}\n", r"^f\.yaml:1: the object has no kind"),
    (
        "a misspelled kind",
        "kind: Deploymnet\n",
        r"^f\.yaml:1: unknown kind 'Deploymnet'\n  did you mean Deployment\? known kinds: Binding",
    ),
    ("a foreign kind", "kind: Secret\n", r"known kinds: .*Pod"),
    (
        "an old apiVersion",
        "kind: Deployment\napiVersion: extensions/v1beta1\n",
        r"'extensions/v1beta1' is unknown\n  use apps/v1",
    ),
    (
        "items that are no list",
        "kind: List\nitems: 5\n",
        r"^f\.yaml:2: items of a List must be a list, not the number 5",
    ),
    ("an item that is no object", "kind: List\nitems: [5]\n", r"^f\.yaml:2: an object is a map"),
    (
        "a number as label",
        "kind: Pod\nmetadata:\n  name: a\n  labels:\n    version: 1.10\n",
        r'^f\.yaml:5: Pod a: metadata\.labels\.version: must be a string, not the number 1\.10\n  quote it: "1\.10"$',
    ),
    (
        "a boolean as label",
        "kind: Pod\nmetadata: {name: a, labels: {x: on}}\n",
        r'not the boolean on\n  quote it: "on"',
    ),
    (
        "a label key with dots",
        "kind: Pod\nmetadata: {labels: {a.b/c: 1}}\n",
        r"metadata\.labels\[a\.b/c\]: must be a string",
    ),
    (
        "a text as number",
        "kind: Deployment\nspec: {replicas: '3'}\n",
        r"spec\.replicas: must be a whole number, not the text '3'",
    ),
    (
        "a fraction as number",
        "kind: Deployment\nspec: {replicas: 1.5}\n",
        r"spec\.replicas: must be a whole number, not the number 1\.5",
    ),
    (
        "a boolean as number",
        "kind: Deployment\nspec: {replicas: yes}\n",
        r"spec\.replicas: must be a whole number, not the boolean yes",
    ),
    (
        "a number as boolean",
        "kind: Pod\nspec: {hostNetwork: 1}\n",
        r"spec\.hostNetwork: must be true or false, not the number 1",
    ),
    ("a map as list", "kind: Pod\nspec: {containers: {name: c}}\n", r"spec\.containers: must be a list, not a map"),
    ("a list as map", "kind: Pod\nspec: [a]\n", r"Pod: spec: must be a map, not a list"),
    (
        "a text as container",
        "kind: Pod\nspec:\n  containers:\n  - c\n",
        r"^f\.yaml:4: Pod: spec\.containers\[0\]: must be a map",
    ),
    (
        "a malformed quantity",
        "kind: Pod\nspec:\n  containers:\n  - resources: {requests: {cpu: 1 Gi}}\n",
        r"^f\.yaml:4: Pod: spec\.containers\[0\]\.resources\.requests\.cpu: '1 Gi' is not a quantity",
    ),
    ("a boolean quantity", "kind: Node\nstatus: {capacity: {cpu: true}}\n", r"status\.capacity\.cpu: a quantity is"),
    (
        "a percentage that is a list",
        "kind: PodDisruptionBudget\nspec: {minAvailable: []}\n",
        r"spec\.minAvailable: must be a whole number or",
    ),
    ("a number as kind", "kind: 5\n", r"has no kind"),
    ("a foreign tag", "kind: !!python/name:os.system x\n", r"has no meaning in a manifest"),
    ("a value containing itself", "kind: Pod\nspec: &a {x: *a}\n", r"^f\.yaml:2: .*contains itself"),
    ("an unknown alias", "kind: *nothing\n", r"undefined alias"),
    ("a control character", "kind: Pod\x00\n", r"malformed YAML"),
]


@pytest.mark.parametrize("row", BAD, ids=[row[0] for row in BAD])
def test_bad_input_is_one_clear_message(row):
    _, text, message = row
    with pytest.raises(InputError, match=message):
        read_manifests(text, where="f.yaml")


def test_malformed_json_names_the_line(tmp_path):
    file = tmp_path / "x.json"
    file.write_text('{"kind": "Pod",\n "metadata": {"name": }}\n')
    with pytest.raises(InputError, match=r"x\.json:2: malformed JSON: .*\n  2 \|  \"metadata\""):
        read_manifests(file)
    file.write_text('{"kind": "Pod", "kind": "Node"}')
    with pytest.raises(InputError, match="'kind' is given twice"):
        read_manifests(file)
    file.write_text('{"kind": "Pod",\n "metadata": {"labels":\n {"a": 1}}}\n')
    with pytest.raises(InputError, match=r"x\.json:3: Pod: metadata\.labels\.a: must be a string"):
        read_manifests(file)


def test_two_objects_of_one_name_name_both_places(tmp_path):
    (tmp_path / "a.yaml").write_text(POD)
    (tmp_path / "b.yaml").write_text("# again\n" + POD.replace("  name: web", "  name: web\n  namespace: default"))
    with pytest.raises(
        InputError, match=r"b\.yaml:2: Pod default/web is defined twice\n  it was already at .*a\.yaml:1"
    ):
        read_manifests(tmp_path)


def test_the_same_name_in_other_namespaces_or_kinds_is_fine():
    others = [{"kind": "Pod", "metadata": {"name": "a", "namespace": ns}} for ns in ("x", "y")]
    others += [{"kind": "Service", "metadata": {"name": "a", "namespace": "x"}}]
    others += [{"kind": "Pod", "metadata": {"generateName": "a-"}}] * 2
    assert len(read_manifests(json.dumps({"kind": "List", "items": others}))) == 5


FILES = [
    ("a missing file", lambda d: d / "none.yaml", r"none\.yaml: cannot read the manifest: No such file"),
    ("an empty directory", lambda d: d, "holds no manifests"),
    ("a binary file", lambda d: _with(d / "x.yaml", b"\xff\xfe\x00"), "not UTF-8"),
]


def _with(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("row", FILES, ids=[row[0] for row in FILES])
def test_unreadable_files(row, tmp_path):
    _, make, message = row
    with pytest.raises(InputError, match=message):
        read_manifests(make(tmp_path))


def test_a_byte_order_mark_is_no_matter(tmp_path):
    assert read_manifests(_with(tmp_path / "x.yaml", b"\xef\xbb\xbf" + POD.encode()))[0].name == "web"


def test_an_unwritable_path_is_an_input_error_and_leaves_nothing(tmp_path):
    with pytest.raises(InputError, match="cannot write"):
        write_manifests(read_manifests(POD), tmp_path / "missing" / "out.yaml")
    (tmp_path / "taken").mkdir()
    with pytest.raises(InputError, match="cannot write"):
        write_manifests(read_manifests(POD), tmp_path / "taken")
    assert [p.name for p in tmp_path.iterdir()] == ["taken"]


LAUGHS = "kind: Pod\na0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9)
)
HOSTILE = [
    ("aliases that unfold to a thousand million values", LAUGHS, "aliases"),
    ("merges that unfold", "kind: Pod\n" + LAUGHS.replace("[", "{k: [").replace("]", "]}"), "aliases|given twice"),
    ("nested flow lists", "kind: Pod\nx: " + "[" * 100_000, "nested more than"),
    ("nested flow maps as JSON", '{"a":' * 100_000 + "1" + "}" * 100_000, "nested more than"),
    ("nested block lists on one line", "x: \n  " + "- " * 50_000 + "y", "nested more than"),
    ("nested block maps", "\n".join(" " * n + f"k{n}:" for n in range(1500)), "nested more than"),
    ("a number with a million digits", "kind: Pod\nspec: {priority: " + "9" * 1_000_000 + "}", "not a number"),
    ("the same in JSON", '{"kind": "Pod", "spec": {"priority": ' + "9" * 1_000_000 + "}}", "not a number|nested"),
]


@pytest.mark.parametrize("row", HOSTILE, ids=[row[0] for row in HOSTILE])
def test_hostile_documents_are_refused_quickly(row):
    _, text, message = row
    start = time.process_time()
    with pytest.raises(InputError, match=message) as error:
        read_manifests(text)
    assert time.process_time() - start < 10
    assert len(str(error.value)) < 1000


@settings(max_examples=60)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.floats(allow_nan=False) | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=8,
    ),
    st.dictionaries(st.text(max_size=6), st.text(max_size=10), max_size=4),
)
def test_any_data_survives_writing_and_reading(untyped, annotations):
    """Untyped parts and texts of every shape come back as they were."""
    data = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "annotations": annotations},
        "spec": {"securityContext": untyped},
    }
    try:
        text = write_manifests([parse(data)])
    except UnicodeEncodeError:
        return  # lone surrogates are no text a file can hold
    (again,) = read_manifests(text)
    assert again.to_dict() == data


@settings(max_examples=100)
@given(st.text(alphabet="kind: Podmetas\n-[]{}&*!|>'\"#%@`,?<1.0~", max_size=60))
def test_any_text_is_read_or_refused_with_an_input_error(text):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnknownFieldWarning)
        try:
            read_manifests(text + "\n")
        except InputError as error:
            assert str(error)
