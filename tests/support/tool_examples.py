"""One call of each tool that works in the sandbox as it stands; docs/reference.md shows them."""

import json

_TEXTS = {
    "list_agents": '{"nameContains": "refund"}',
    "get_agent": '{"agentId": "agent_SPIlVscbB0kkXBvZ"}',
    "check_test_case": '{"agentId": "agent_SPIlVscbB0kkXBvZ", "userPrompt": "You are Ana. Your kettle arrived broken and you want a refund.", "successCriteria": "The agent handles it professionally."}',
    "create_test_case": '{"agentId": "agent_D5D0p7TUs66TTAEAx", "userPrompt": "You are Ana. Your kettle arrived broken and you want a refund.", "successCriteria": "The agent acknowledges the problem and confirms the refund.", "attempt": 5}',
    "get_test_case": '{"agentId": "agent_D5D0p7TUs66TTAEAx", "testCaseId": "tc_d17T6uReChpyfFeP"}',
    "list_test_cases": '{"agentId": "agent_D5D0p7TUs66TTAEAx", "labelContains": "angry"}',
    "update_test_case": '{"agentId": "agent_D5D0p7TUs66TTAEAx", "testCaseId": "tc_xeeXG5hX9dl0VFNt", "attempt": 5}',
    "create_batch_run": '{"agentId": "agent_D5D0p7TUs66TTAEAx", "testCases": ["tc_d17T6uReChpyfFeP"]}',
    "list_batch_runs": '{"agentId": "agent_SPIlVscbB0kkXBvZ", "size": 5}',
    "get_batch_run": '{"agentId": "agent_D5D0p7TUs66TTAEAx", "batchId": "batch_s0OJu2JWR8R45Fai"}',
    "wait_for_batch_run": '{"agentId": "agent_D5D0p7TUs66TTAEAx", "batchId": "batch_s0OJu2JWR8R45Fai", "maxSeconds": 30}',
    "list_test_runs": '{"agentId": "agent_D5D0p7TUs66TTAEAx", "batchId": "batch_s0OJu2JWR8R45Fai", "verdict": "failed"}',
    "get_test_run": '{"agentId": "agent_mJzLaPEo425lieb9", "batchId": "batch_0ys2AIVkkpWdoC7P", "jobId": "job_7tqAn5xD5ZmD3CgG"}',
    "read_test_runs": '{"agentId": "agent_mJzLaPEo425lieb9", "batchId": "batch_0ys2AIVkkpWdoC7P", "jobIds": ["job_S1UG0abhWK8OU9SQ", "job_7tqAn5xD5ZmD3CgG"]}',
    "search_test_runs": '{"agentId": "agent_mJzLaPEo425lieb9", "text": "booking | reservation", "side": "agent"}',
    "diagnose_batch_run": '{"agentId": "agent_D5D0p7TUs66TTAEAx", "batchId": "batch_s0OJu2JWR8R45Fai"}',
    "compare_batch_runs": '{"agentId": "agent_mJzLaPEo425lieb9", "baseBatchId": "batch_2JmWPQEzUXDn5MCZ", "candidateBatchId": "batch_0ys2AIVkkpWdoC7P"}',
    "get_test_case_history": '{"agentId": "agent_mJzLaPEo425lieb9"}',
}  # fmt: skip

EXAMPLES = {name: json.loads(text) for name, text in _TEXTS.items()}
