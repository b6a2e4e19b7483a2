"""The five kinds of ``wheeltapper.dev/v1alpha1``."""

from wheeltapper_api.kinds.assetclass import AssetClass
from wheeltapper_api.kinds.assettwin import AssetTwin
from wheeltapper_api.kinds.failuremodel import FailureModel
from wheeltapper_api.kinds.meta import Resource
from wheeltapper_api.kinds.plant import Plant
from wheeltapper_api.kinds.tenantpolicy import TenantPolicy

KINDS: dict[str, type[Resource]] = {
    kind.__name__: kind for kind in (TenantPolicy, Plant, AssetClass, FailureModel, AssetTwin)
}

__all__ = ["KINDS", "AssetClass", "AssetTwin", "FailureModel", "Plant", "Resource", "TenantPolicy"]
