"""
What the published client can do, as data: every row of its method checklist that has to work here, and every error case.
A row names the methods that its check must have called; the run fails when a row has no check, a check has no row, or a
check left out one of its methods. Publishes, edges, registries, orchestrations, tasks, assays and the two sidekick calls have
suites of their own.
"""

ROWS = {
    # Client
    "client: construct": "Client.__init__",
    "client: urls and transports": "Client.get_urls Client.httpx_client Client.mlops",
    "client: list workspaces": "Client.list_workspaces",
    "client: get workspace": "Client.get_workspace",
    "client: create workspace": "Client.create_workspace",
    "client: set current workspace": "Client.set_current_workspace",
    "client: get current workspace": "Client.get_current_workspace",
    "client: list users": "Client.list_users",
    "client: get user by email": "Client.get_user_by_email",
    "client: get email by id": "Client.get_email_by_id",
    "client: invite user": "Client.invite_user",
    "client: activate and deactivate user": "Client.activate_user Client.deactivate_user",
    "client: upload model": "Client.upload_model",
    "client: register model image": "Client.register_model_image",
    "client: generate upload command": "Client.generate_upload_model_api_command",
    "client: list models": "Client.list_models",
    "client: get model": "Client.get_model",
    "client: models by name": "Client.model_by_name Client.model_version_by_name",
    "client: search models": "Client.search_models Client.search_model_versions",
    "client: build pipeline": "Client.build_pipeline",
    "client: list pipelines": "Client.list_pipelines",
    "client: get pipeline": "Client.get_pipeline",
    "client: pipelines by name": "Client.pipelines_by_name",
    "client: search pipelines": "Client.search_pipelines Client.search_pipeline_versions",
    "client: list deployments": "Client.list_deployments",
    "client: deployment by name": "Client.deployment_by_name",
    "client: get topic name": "Client.get_topic_name",
    "client: get logs": "Client.get_logs",
    "client: raw logs": "Client.get_raw_logs Client.get_raw_pipeline_inference_logs Client.get_pipeline_inference_dataframe",
    "client: tags": "Client.create_tag Client.list_tags",
    "client: connections": "Client.list_connections Client.get_connection Client.create_connection",
    # Workspace, User
    "workspace: read by id": "Workspace._rehydrate",
    "workspace: models and pipelines": "Workspace.models Workspace.pipelines",
    "workspace: users": "Workspace.users",
    "workspace: add user and owner": "Workspace.add_user Workspace.add_owner",
    "workspace: remove user": "Workspace.remove_user",
    "workspace: connections": "Workspace.list_connections Workspace.add_connection Workspace.remove_connection",
    # Model, ModelVersion, ModelConfig
    "model: read by id, versions, workspace": "Model._rehydrate Model.versions Model.workspace",
    "model version: read by id, status, error summary": "ModelVersion._rehydrate ModelVersion.status ModelVersion.error_summary",
    "model version: configure": "ModelVersion.configure",
    "model version: config": "ModelVersion.config ModelVersion.rehydrate_config",
    "model version: upload logs": "ModelVersion.get_upload_logs",
    "model version: logs": "ModelVersion.logs",
    "model version: deploy": "ModelVersion.deploy",
    "model version: visibility": "ModelVersion._update_visibility",
    "model config: read by id": "ModelConfig._rehydrate",
    # Pipeline, PipelineVersion, Deployment
    "pipeline: read by id, versions, tags, workspace": "Pipeline._rehydrate Pipeline.versions Pipeline.tags Pipeline.workspace",
    "pipeline: step builders": (
        "Pipeline.add_model_step Pipeline.add_multi_model_step Pipeline.add_audit Pipeline.add_select Pipeline.add_key_split Pipeline.add_random_split"
        " Pipeline.add_shadow_deploy Pipeline.add_validations Pipeline.replace_with_model_step Pipeline.replace_with_multi_model_step"
        " Pipeline.replace_with_audit Pipeline.replace_with_select Pipeline.replace_with_key_split Pipeline.replace_with_random_split"
        " Pipeline.replace_with_shadow_deploy Pipeline.remove_step Pipeline.clear Pipeline.steps Pipeline.model_configs"
    ),
    "pipeline: deploy": "Pipeline.deploy",
    "pipeline: undeploy": "Pipeline.undeploy",
    "pipeline: status": "Pipeline.status",
    "pipeline: url": "Pipeline.url",
    "pipeline: infer and infer from file": "Pipeline.infer Pipeline.infer_from_file",
    "pipeline: async and parallel inference": "Pipeline.async_infer Pipeline.parallel_infer",
    "pipeline: OpenAI completions": "Pipeline.openai_completion Pipeline.openai_chat_completion",
    "pipeline: logs, export, topic": "Pipeline.logs Pipeline.export_logs Pipeline.get_topic_name",
    "pipeline: create version": "Pipeline.create_version",
    "pipeline: configuration": "Pipeline.get_pipeline_configuration",
    "pipeline: external url": "Pipeline.get_external_url",
    "pipeline: API spec": "Pipeline.generate_api_spec",
    "pipeline: visibility": "Pipeline._update_visibility",
    "pipeline: display": "Pipeline._repr_html_ Pipelines._repr_html_ PipelineVersionList._repr_html_",
    "pipeline version: read by id": "PipelineVersion._rehydrate",
    "pipeline version: deploy": "PipelineVersion.deploy",
    "deployment: read by id": "Deployment._rehydrate",
    "deployment: deploy": "Deployment.deploy",
    "deployment: replace model": "Deployment.replace_model Deployment.replace_configured_model",
    "deployment: wait, infer, status, urls": (
        "Deployment.wait_for_running Deployment.wait_for_undeployed Deployment.undeploy Deployment.infer Deployment.infer_from_file Deployment.async_infer"
        " Deployment.status Deployment.url Deployment.internal_url"
    ),
    # Tag, Connection
    "tag: read by id, what it is on": "Tag._rehydrate Tag.list_model_versions Tag.list_pipelines",
    "tag: on and off": "Tag.add_to_model Tag.remove_from_model Tag.add_to_pipeline Tag.remove_from_pipeline",
    "connection: read by id, delete, workspaces": (
        "Connection._rehydrate Connection.delete_connection Connection.add_connection_to_workspace Connection.remove_connection_from_workspace"
    ),
    # Carried by the client and never called by it: for who speaks HTTP.
    "plain: users/activate, users/deactivate, user": "",
    "plain: workspaces/list_users, workspaces/remove_user, workspaces/validate, features/list": "",
    "plain: models/get_by_id, get_model_version_by_id, list_versions, list_versions_for_model, upload_stream": "",
    "plain: pipelines/list_pipeline_versions, plateau/get_pipeline_topic_name, admin/get_pipeline_internal_url": "",
    "plain: pipelines/get_logs": "",
    "plain: models/delete_model, delete_model_versions, pipelines/delete_pipeline, delete_pipeline_versions": "",
}

ERRORS = [
    # Sign-in
    "sign-in: neither address nor type is given",
    "sign-in: types that the client does not have",
    "sign-in: wrong password",
    "sign-in: a token that is none",
    "sign-in: the refresh token is no longer good",
    # Users and workspaces
    "users: who is unknown is not found, by e-mail or id",
    "users: an invitation is refused",
    "users: oneself is not deactivated",
    "workspaces: a name that is not allowed",
    "workspaces: a workspace that is not there",
    "workspaces: who is unknown or there already is not added",
    "workspaces: the last user, one's own default",
    "workspaces: a user who is gone",
    # Models
    "models: a file that is no model",
    "models: a file that does not convert",
    "models: a framework or schema that is missing",
    "models: not there, by every way to ask",
    "models: an image that is not registered",
    "models: a config that does not fit",
    # Pipelines and deployments
    "pipelines: a name that is not allowed",
    "pipelines: not there, by every way to ask",
    "pipelines: a definition that cannot run",
    "pipelines: a version that is not there",
    "pipelines: no external url before a deployment",
    "deployments: not there",
    "deployments: a config that is not allowed",
    "deployments: an undeployment that is refused",
    "deployments: a model that is gone or not ready",
    # Inference
    "inference: before and after a deployment",
    "inference: data that does not fit, in each form",
    "inference: a dictionary that does not fit",
    "inference: one bad item among many",
    "inference: in time or not at all",
    "inference: OpenAI calls to what is no language model",
    # Logs, tags, connections
    "logs: a topic that is not there",
    "logs: one end of a time window",
    "tags: a tag twice, off what does not carry it",
    "connections: a name twice, one that is not there",
    # Everything
    "wire: no token, no such path, no such method",
    "wire: GraphQL that does not fit the schema",
]
