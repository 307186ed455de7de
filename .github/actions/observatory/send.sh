#!/usr/bin/env bash
# Sends one event about the present job of GitHub Actions. Whatever goes wrong is a warning, and the exit code is 0:
# who watches the build must not break it. Needs bash 3.2 and curl, which every runner has.
set -u
# Bytes, so that control characters are what they are in ASCII.
export LC_ALL=C

warn() {
  local text=$*
  text=${text//'%'/%25}
  text=${text//$'\r'/%0D}
  text=${text//$'\n'/%0A}
  printf '::warning title=Observatory::%s\n' "$text"
}

# A JSON string.
quote() {
  local text=$1
  text=${text//\\/\\\\}
  text=${text//\"/\\\"}
  text=${text//$'\n'/\\n}
  text=${text//$'\r'/\\r}
  text=${text//$'\t'/\\t}
  printf '"%s"' "$(printf '%s' "$text" | tr -d '\000-\037\177')"
}

members=
add() { members+="${members:+,}$(quote "$1"):$2"; }
tell() { [ -z "$2" ] || add "$1" "$(quote "$2")"; }

# What was given as data: a member a line.
add_given() {
  local line key
  while IFS= read -r line; do
    key=${line%%=*}
    if [ -z "$line" ]; then
      continue
    elif [ "$key" = "$line" ]; then
      warn "data: expected key=text or key:=JSON, found $line"
    elif [ "${key%:}" != "$key" ]; then
      add "${key%:}" "${line#*=}"
    else
      tell "$key" "${line#*=}"
    fi
  done <<<"${OBSERVATORY_DATA:-}"
}

main() {
  local phase=${OBSERVATORY_PHASE:-} kind=${OBSERVATORY_TYPE:-ci_build} name=${OBSERVATORY_NAME:-}
  local now state id began id_name=build_id
  case $phase in
    started | completed) ;;
    *) warn "phase: expected started or completed, found $phase"; return ;;
  esac
  if [ -z "${OBSERVATORY_URL:-}" ]; then
    echo "no url: nothing is sent"
    return
  fi
  case $kind in
    deployment) id_name=deployment_id ;;
    agent_request) id_name=request_id ;;
  esac

  # The jobs of a matrix have one name, so the id has a random part; the end finds it where the start left it.
  now=$(date +%s)
  state=${RUNNER_TEMP:-${TMPDIR:-/tmp}}/observatory-$(printf '%s' "${GITHUB_JOB:-job}-$kind-$name" | tr -c 'A-Za-z0-9_-' _)
  if [ "$phase" = completed ] && [ -r "$state" ]; then
    read -r id began <"$state"
    rm -f "$state"
  else
    id=github-${GITHUB_RUN_ID:-0}-${GITHUB_RUN_ATTEMPT:-1}-$(od -An -N6 -tx1 /dev/urandom | tr -d ' \n')
    [ "$phase" = started ] && printf '%s %s\n' "$id" "$now" >"$state"
  fi

  tell "$id_name" "$id"
  tell project "$name"
  tell ci github-actions
  tell repository "${GITHUB_REPOSITORY:-}"
  # In a pull request the name of the ref is `26/merge`.
  tell branch "${GITHUB_HEAD_REF:-${GITHUB_REF_NAME:-}}"
  tell commit_sha "${GITHUB_SHA:-}"
  tell run_id "${GITHUB_RUN_ID:-}"
  tell run_attempt "${GITHUB_RUN_ATTEMPT:-}"
  tell workflow "${GITHUB_WORKFLOW:-}"
  tell job "${GITHUB_JOB:-}"
  tell trigger "${GITHUB_EVENT_NAME:-}"
  tell run_url "${GITHUB_SERVER_URL:+$GITHUB_SERVER_URL/${GITHUB_REPOSITORY:-}/actions/runs/${GITHUB_RUN_ID:-}}"
  if [ "$phase" = completed ]; then
    tell status "${OBSERVATORY_STATUS:-}"
    [ -n "${began:-}" ] && add duration_seconds "$((now - began))"
  fi
  add_given

  deliver "{\"id\":$(quote "$id-$phase"),\"event_type\":$(quote "${kind}_$phase"),\"source\":\"github-actions\",\"data\":{$members}}"
}

# Posts it. The id makes a retry count once.
deliver() {
  local url=${OBSERVATORY_URL%/}/api/v1/events timeout=${OBSERVATORY_TIMEOUT:-10} config='' token answer status
  case $timeout in '' | *[!0-9]*) timeout=10 ;; esac
  if [ -n "${OBSERVATORY_TOKEN:-}" ]; then
    # By standard input: arguments are seen by every process of the machine.
    token=${OBSERVATORY_TOKEN//\\/\\\\}
    config="header = \"Authorization: Bearer ${token//\"/\\\"}\""
  fi
  answer=$(printf '%s\n' "$config" | curl --config - --silent --show-error --connect-timeout 5 --max-time "$timeout" \
    --retry 2 --retry-max-time "$timeout" --header 'Content-Type: application/json' --data-binary "$1" \
    --write-out '\n%{http_code}' "$url" 2>&1)
  status=${answer##*$'\n'}
  answer=${answer%$'\n'*}
  case $status in
    2??) echo "sent ${OBSERVATORY_TYPE:-ci_build}_${OBSERVATORY_PHASE:-}: $answer" ;;
    401 | 403) warn "the server refuses the token ($status); it needs the role ingest: ${answer:0:300}" ;;
    000) warn "no answer from $url: ${answer:0:300}" ;;
    *) warn "the server answered $status: ${answer:0:300}" ;;
  esac
}

main
exit 0
