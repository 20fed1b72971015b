/** What of ops' environment goes to programs of the engine that run containers: the settings for them, and what the tools themselves need. */
export const containerEnv = [
  'POTOROO_CONTAINERS', 'POTOROO_CONTAINER_ARGS', 'POTOROO_RUNTIME_IMAGE', 'POTOROO_PYTHON_ROOT', 'XDG_RUNTIME_DIR', 'DBUS_SESSION_BUS_ADDRESS', 'DOCKER_HOST', 'CONTAINER_HOST',
] as const;
