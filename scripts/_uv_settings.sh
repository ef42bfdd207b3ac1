# Sourced with $python set. uv does not read pip's configuration: unless uv has its own, it is given pip's by environment variables.
settings=$("$python" -m pip config list)
pip_setting() { # the value of one pip setting; variables come before files, as for pip
  local section value
  for section in :env: install global; do
    value=$(sed -n "s/^$section\.$1='\(.*\)'\$/\1/p" <<<"$settings")
    if [ -n "$value" ]; then printf '%s' "${value//\\n/ }"; return; fi
  done
}
pass_on() { # VARIABLE PIP-SETTING: set the variable, if nobody has, to what pip uses
  local value
  value=$(pip_setting "$2")
  if [ -z "${!1:-}" ] && [ -n "$value" ]; then export "$1=$value"; fi
}
own_files=$(ls "${XDG_CONFIG_HOME:-$HOME/.config}/uv/uv.toml" /etc/uv/uv.toml 2>/dev/null || true)
if [ -z "$own_files${UV_DEFAULT_INDEX:-}${UV_INDEX_URL:-}${UV_INDEX:-}${UV_EXTRA_INDEX_URL:-}${UV_CONFIG_FILE:-}${UV_NO_INDEX:-}" ]; then
  pass_on UV_DEFAULT_INDEX index-url
  pass_on UV_INDEX extra-index-url
  pass_on UV_INSECURE_HOST trusted-host
  # pip takes the best file of all its indexes. With every hash locked that is safe.
  export UV_INDEX_STRATEGY=${UV_INDEX_STRATEGY:-unsafe-best-match}
fi
pass_on SSL_CERT_FILE cert
