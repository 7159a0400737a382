"""Lifecycle of a key with the client that openapi-python-client generates from the document.

Argument: the directory that contains the client as the package `gatepost_client`. Environment: HOST, ACCESS_KEY.
"""

import os
import sys

sys.path.insert(0, sys.argv[1])

from gatepost_client import AuthenticatedClient
from gatepost_client.api.api_keys import authenticate_api_key, create_api_key, delete_api_key, list_api_keys
from gatepost_client.api.api_keys import update_api_key
from gatepost_client.api.projects import create_project
from gatepost_client.models import ApiKeyBody, CreateApiKey, CreateProject, Problem, ProblemCode, RateLimitMembers
from gatepost_client.models import UpdateApiKey

client = AuthenticatedClient(
    os.environ["HOST"],
    token=os.environ["ACCESS_KEY"],
    prefix="",
    auth_header_name="x-api-key",
    raise_on_unexpected_status=True,
    httpx_args={"trust_env": False},
)

project = create_project.sync(client=client, body=CreateProject(name="python", env="test"))
limit = RateLimitMembers(rate_limit=100, rate_limit_ttl=60.0)
new = CreateApiKey(name="Jane", project_id=project.id, expiry="2090-01-01", rate_limit_configs=limit)
key = create_api_key.sync(client=client, body=new)
assert isinstance(key, ApiKeyBody) and key.key.startswith("test_"), key

listed = list_api_keys.sync(client=client, project_id=project.id, is_active=True)
assert [one.id for one in listed] == [key.id], listed

copy = UpdateApiKey.from_dict({**listed[0].to_dict(), "name": "Joan"})
assert update_api_key.sync(key.id, client=client, body=copy).name == "Joan"
assert authenticate_api_key.sync(key.key, client=client).name == "Joan"

assert delete_api_key.sync(key.id, client=client) is True
rejected = authenticate_api_key.sync(key.key, client=client)
assert isinstance(rejected, Problem) and rejected.code == ProblemCode.INVALID_CLIENT_KEY, rejected
