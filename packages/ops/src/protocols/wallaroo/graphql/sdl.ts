/**
 * The GraphQL schema that the published Python client knows: it reads this by introspection and then checks each of its
 * documents against it before sending, so every name and type here is part of the wire. `models` is a named model, `model`
 * one version of it. Longer than a file should be because it is one table.
 */
export const sdl = /* GraphQL */ `
scalar bigint
scalar timestamptz
scalar uuid
scalar jsonb

enum order_by { asc asc_nulls_first asc_nulls_last desc desc_nulls_first desc_nulls_last }
input bigint_comparison_exp { _eq: bigint _in: [bigint!] _neq: bigint _is_null: Boolean }
input String_comparison_exp { _eq: String _in: [String!] _neq: String _ilike: String _is_null: Boolean }
input Boolean_comparison_exp { _eq: Boolean _is_null: Boolean }
input timestamptz_comparison_exp { _eq: timestamptz _gte: timestamptz _lte: timestamptz _gt: timestamptz _lt: timestamptz }

type workspace {
  id: bigint!
  name: String!
  archived: Boolean!
  created_at: timestamptz!
  created_by: String
  users: [workspace_users!]!
  models(order_by: [models_order_by!]): [models!]!
  pipelines: [pipeline!]!
}
type workspace_users { user_id: String! user_type: String workspace_id: bigint }
type user_default_workspace { user_id: String! workspace: workspace! }
input workspace_bool_exp { _and: [workspace_bool_exp!] id: bigint_comparison_exp name: String_comparison_exp }
input user_default_workspace_bool_exp { user_id: String_comparison_exp }
input workspace_users_bool_exp { _and: [workspace_users_bool_exp!] user_id: String_comparison_exp workspace_id: bigint_comparison_exp }
input workspace_users_insert_input { user_id: String user_type: String }
input workspace_users_arr_rel_insert_input { data: [workspace_users_insert_input!]! }
input user_default_workspace_insert_input { user_id: String }
input user_default_workspace_arr_rel_insert_input { data: [user_default_workspace_insert_input!]! }
input workspace_insert_input {
  name: String
  owner_id: String
  created_by: String
  archived: Boolean
  users: workspace_users_arr_rel_insert_input
  user_default_workspaces: user_default_workspace_arr_rel_insert_input
}
enum workspace_constraint { workspace_name_key workspace_pkey }
enum workspace_update_column { name archived }
input workspace_on_conflict { constraint: workspace_constraint! update_columns: [workspace_update_column!]! = [] where: workspace_bool_exp }
type workspace_users_mutation_response { affected_rows: Int! returning: [workspace_users!]! }

type models {
  id: bigint!
  name: String!
  owner_id: String
  created_at: timestamptz
  updated_at: timestamptz
  models(order_by: [model_order_by!]): [model!]!
  workspace: workspace
}
input models_order_by { id: order_by updated_at: order_by created_at: order_by }
input models_bool_exp { _and: [models_bool_exp!] id: bigint_comparison_exp name: String_comparison_exp workspace: workspace_bool_exp }
type model {
  id: bigint!
  created_on_version: String
  model_id: String!
  model_version: String!
  models_pk_id: bigint
  sha: String
  status: String
  error_summary: String
  file_name: String
  image_path: String
  updated_at: timestamptz!
  created_at: timestamptz
  visibility: String
  owner_id: String
  model_tags: [model_tag!]!
  conversion(path: String): jsonb
  model: models
}
input model_order_by { id: order_by created_at: order_by updated_at: order_by }
input model_bool_exp {
  _and: [model_bool_exp!]
  id: bigint_comparison_exp
  model_id: String_comparison_exp
  model_version: String_comparison_exp
  owner_id: String_comparison_exp
  created_at: timestamptz_comparison_exp
  model: models_bool_exp
}
input search_models_args { search: String }
input model_set_input { visibility: String }
type model_mutation_response { affected_rows: Int! returning: [model!]! }
type model_config {
  id: bigint!
  filter_threshold: Float
  model: model
  runtime: String
  tensor_fields: jsonb
  dynamic_batching_config: jsonb
  continuous_batching_config: jsonb
  openai: jsonb
  input_schema: String
  output_schema: String
}

type tag { id: bigint! tag: String! model_tags: [model_tag!]! pipeline_tags: [pipeline_tag!]! }
input tag_order_by { id: order_by }
input tag_insert_input { tag: String }
type tag_mutation_response { affected_rows: Int! returning: [tag!]! }
type model_tag { model_id: bigint! tag_id: bigint! tag: tag! model: model! }
input model_tag_insert_input { model_id: bigint tag_id: bigint }
input model_tag_bool_exp { _and: [model_tag_bool_exp!] model_id: bigint_comparison_exp tag_id: bigint_comparison_exp }
type model_tag_mutation_response { affected_rows: Int! returning: [model_tag!]! }
type pipeline_tag { id: bigint pipeline_pk_id: bigint! tag_pk_id: bigint! tag: tag! pipeline: pipeline! }
input pipeline_tag_insert_input { pipeline_pk_id: bigint tag_pk_id: bigint }
input pipeline_tag_bool_exp { _and: [pipeline_tag_bool_exp!] pipeline_pk_id: bigint_comparison_exp tag_pk_id: bigint_comparison_exp }
type pipeline_tag_mutation_response { affected_rows: Int! returning: [pipeline_tag!]! }

type pipeline {
  id: bigint!
  pipeline_id: String!
  created_at: timestamptz!
  updated_at: timestamptz!
  visibility: String
  owner_id: String
  workspace_id: bigint
  pipeline_versions(order_by: [pipeline_version_order_by!]): [pipeline_version!]!
  pipeline_tags: [pipeline_tag!]!
  workspace: workspace
  deployment: deployment
}
input pipeline_order_by { id: order_by created_at: order_by }
input pipeline_bool_exp {
  _and: [pipeline_bool_exp!]
  id: bigint_comparison_exp
  pipeline_id: String_comparison_exp
  workspace_id: bigint_comparison_exp
  workspace: workspace_bool_exp
  deployment: deployment_bool_exp
}
input pipeline_set_input { visibility: String }
type pipeline_mutation_response { affected_rows: Int! returning: [pipeline!]! }
type pipeline_version {
  id: bigint!
  created_on_version: String
  created_at: timestamptz!
  updated_at: timestamptz!
  version: String!
  definition: jsonb
  pipeline_pk_id: bigint
  pipeline: pipeline
  deployment_pipeline_versions: [deployment_pipeline_version!]!
  deployment_model_configs: [deployment_model_configs!]!
  pipeline_publishes: [pipeline_publish!]!
}
input pipeline_version_order_by { id: order_by }
input pipeline_version_bool_exp {
  _and: [pipeline_version_bool_exp!]
  id: bigint_comparison_exp
  owner_id: String_comparison_exp
  pipeline: pipeline_bool_exp
  created_at: timestamptz_comparison_exp
  updated_at: timestamptz_comparison_exp
}
enum pipeline_version_select_column { id pipeline_pk_id version created_at }
input search_pipelines_args { search: String }
type pipeline_publish {
  id: bigint!
  created_on_version: String
  chart_url: String
  created_at: timestamptz
  created_by: String
  engine_url: String
  pipeline_url: String
  status: String
  updated_at: timestamptz
  pipeline_version_id: bigint
  engine_config: jsonb
  user_images: jsonb
}

type deployment {
  id: bigint!
  deploy_id: String!
  deployed: Boolean
  limit_status: String
  engine_config: jsonb
  pipeline: pipeline
  deployment_model_configs: [deployment_model_configs!]!
  deployment_model_configs_aggregate(distinct_on: [deployment_model_configs_select_column!]): deployment_model_configs_aggregate!
  deployment_pipeline_versions(order_by: [deployment_pipeline_version_order_by!]): [deployment_pipeline_version!]!
}
input deployment_bool_exp { _and: [deployment_bool_exp!] id: bigint_comparison_exp deploy_id: String_comparison_exp deployed: Boolean_comparison_exp }
input deployment_pk_columns_input { id: bigint! }
input deployment_set_input { deployed: Boolean }
type deployment_model_configs { id: bigint deployment_id: bigint model_config_id: bigint model_config: model_config! }
type deployment_model_configs_aggregate { nodes: [deployment_model_configs!]! }
enum deployment_model_configs_select_column { deployment_id model_config_id id }
input deployment_model_configs_insert_input { deployment_id: bigint model_config_id: bigint }
type deployment_model_configs_mutation_response { affected_rows: Int! returning: [deployment_model_configs!]! }
type deployment_pipeline_version { created_at: timestamptz updated_at: timestamptz deployment: deployment! pipeline_version: pipeline_version! }
input deployment_pipeline_version_order_by { pipeline_version: pipeline_version_order_by }

type orchestration {
  id: uuid!
  name: String
  file_name: String
  owner_id: String
  sha: String
  status: String
  task_id: uuid
  workspace_id: bigint
  created_at: timestamptz
  updated_at: timestamptz
  image_path: String
  created_on_version: String
  file_size: bigint
  created_by: String
}
type assay { id: bigint! active: Boolean alert_threshold: Float warning_threshold: Float }
input assay_pk_columns_input { id: bigint! }
input assay_set_input { alert_threshold: Float warning_threshold: Float active: Boolean }

type query_root {
  workspace_by_pk(id: bigint!): workspace
  user_default_workspace(where: user_default_workspace_bool_exp): [user_default_workspace!]!
  tag(order_by: [tag_order_by!]): [tag!]!
  tag_by_pk(id: bigint!): tag
  model(where: model_bool_exp): [model!]!
  model_by_pk(id: bigint!): model
  model_config_by_pk(id: bigint!): model_config
  search_models(args: search_models_args!, where: model_bool_exp, order_by: [model_order_by!]): [model!]!
  pipeline(where: pipeline_bool_exp, order_by: [pipeline_order_by!]): [pipeline!]!
  pipeline_by_pk(id: bigint!): pipeline
  pipeline_version_by_pk(id: bigint!): pipeline_version
  search_pipelines(args: search_pipelines_args!, distinct_on: [pipeline_version_select_column!], where: pipeline_version_bool_exp,
    order_by: [pipeline_version_order_by!]): [pipeline_version!]!
  deployment(where: deployment_bool_exp): [deployment!]!
  deployment_by_pk(id: bigint!): deployment
  orchestration_by_pk(id: uuid!): orchestration
}
type mutation_root {
  insert_workspace_one(object: workspace_insert_input!, on_conflict: workspace_on_conflict): workspace
  delete_workspace_users(where: workspace_users_bool_exp!): workspace_users_mutation_response
  insert_tag(objects: [tag_insert_input!]!): tag_mutation_response
  insert_model_tag(objects: [model_tag_insert_input!]!): model_tag_mutation_response
  delete_model_tag(where: model_tag_bool_exp!): model_tag_mutation_response
  insert_pipeline_tag(objects: [pipeline_tag_insert_input!]!): pipeline_tag_mutation_response
  delete_pipeline_tag(where: pipeline_tag_bool_exp!): pipeline_tag_mutation_response
  update_model(where: model_bool_exp!, _set: model_set_input): model_mutation_response
  update_pipeline(where: pipeline_bool_exp!, _set: pipeline_set_input): pipeline_mutation_response
  update_deployment_by_pk(pk_columns: deployment_pk_columns_input!, _set: deployment_set_input): deployment
  insert_deployment_model_configs(objects: [deployment_model_configs_insert_input!]!): deployment_model_configs_mutation_response
  update_assay_by_pk(pk_columns: assay_pk_columns_input!, _set: assay_set_input): assay
}
schema { query: query_root mutation: mutation_root }
`;
