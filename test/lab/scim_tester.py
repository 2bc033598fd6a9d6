"""Runs scim2-tester against the server of argument 1; the token comes on standard input. Prints one JSON object a check."""

import json
import sys

from httpx2 import Client
from scim2_client.engines.httpx2 import SyncSCIMClient
from scim2_tester import check_server

token = sys.stdin.readline().strip()
http = Client(base_url=sys.argv[1], headers={"Authorization": f"Bearer {token}"}, timeout=30)
for result in check_server(SyncSCIMClient(http)):
    print(json.dumps({"status": result.status.name, "title": result.title, "type": result.resource_type, "reason": result.reason}))
