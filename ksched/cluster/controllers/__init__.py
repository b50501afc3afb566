"""Controllers: each brings the cluster closer to what its objects ask for, through the api-server only."""

from ksched.cluster.controllers.config import ControllersConfig
from ksched.cluster.controllers.manager import ControllerManager

__all__ = ["ControllerManager", "ControllersConfig"]
