"""The api-server model: objects in etcd behind verbs, admission, optimistic concurrency and watches."""

from ksched.cluster.apiserver.client import Client
from ksched.cluster.apiserver.config import ApiServerConfig
from ksched.cluster.apiserver.errors import ApiError
from ksched.cluster.apiserver.informer import Informer
from ksched.cluster.apiserver.server import ApiServer, ObjectList

__all__ = ["ApiError", "ApiServer", "ApiServerConfig", "Client", "Informer", "ObjectList"]
