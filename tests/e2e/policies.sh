#!/usr/bin/env bash
# Goal: the policies of infra/policies let each role do its work and nothing else, and a refusal says
# what lacks. Method: roles of with_rgw's gateway with these very policies; a search whose scheduler,
# runner and auditor each have only the session of their role, from a credentials file; then requests
# that each must be refused; then the bucket's policy, on which the owner's requests fail too.
#   with_rgw --tls policies.sh SOURCE_DIR BINARY_DIR
set -euo pipefail
source=$1
# shellcheck source=tests/e2e/world.sh
. "$source/tests/e2e/world.sh" "$2"
bucket=policies
prefix=nero
export NERO_STORE=s3://$bucket/$prefix

admin() { radosgw-admin -c "$NERO_TEST_RGW_CONFIG" -n client.rgw "$@" >>"$work/admin.log" 2>&1; }

fill_in() { # FILE [RUN]: the policy as the README says, for all runs or for one
  sed -e "s|BUCKET|$bucket|g; s|PREFIX|$prefix|g; s|RUN/|${2-*}/|g" \
    -e "s|RUNNER_ARN|arn:aws:iam:::role/broad|g" "$source/infra/policies/$1.json"
}

element() { sed -n "s|.*<$1>\([^<]*\)</$1>.*|\1|p" "$work/answer"; }

make_role() { # NAME POLICY: and a session of it in $work/NAME
  local trust
  trust='{"Version":"2012-10-17","Statement":[{"Effect":"Allow",
    "Principal":{"AWS":["arn:aws:iam:::user/test"]},"Action":["sts:AssumeRole"]}]}'
  admin role create --role-name="$1" --path=/ --assume-role-policy-doc="$trust" || fail "role $1"
  admin role-policy put --role-name="$1" --policy-name=p --policy-doc="$2" || fail "policy of $1"
  curl -sS -o "$work/answer" --user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY" \
    --aws-sigv4 aws:amz:us-east-1:sts -X POST "$AWS_ENDPOINT_URL_S3/" \
    -d "Action=AssumeRole&Version=2011-06-15&RoleArn=arn:aws:iam:::role/$1&RoleSessionName=$1"
  printf '[default]\naws_access_key_id = %s\naws_secret_access_key = %s\naws_session_token = %s\n' \
    "$(element AccessKeyId)" "$(element SecretAccessKey)" "$(element SessionToken)" >"$work/$1"
}

become() { # ROLE COMMAND...: a program that signs with the role's session, in this shell's place
  exec env -u AWS_ACCESS_KEY_ID -u AWS_SECRET_ACCESS_KEY AWS_SHARED_CREDENTIALS_FILE="$work/$1" \
    "${@:2}"
}

as() { (become "$@"); }

request() { # ROLE METHOD NAME [BODY [HEADER...]]: print the answer's code; "owner" has all rights
  local key=$AWS_ACCESS_KEY_ID secret=$AWS_SECRET_ACCESS_KEY options=() body=${4-}
  if [ "$1" != owner ]; then
    key=$(sed -n 's/aws_access_key_id = //p' "$work/$1")
    secret=$(sed -n 's/aws_secret_access_key = //p' "$work/$1")
    options=(-H "x-amz-security-token: $(sed -n 's/aws_session_token = //p' "$work/$1")")
  fi
  [ "$2" = GET ] || options+=(--data-binary "$body")
  for header in "${@:5}"; do
    options+=(-H "$header")
  done
  curl -sS -o "$work/answer" -w '%{http_code}' --cacert "$NERO_TEST_TLS_AUTHORITY" --path-as-is -X "$2" --user "$key:$secret" \
    --aws-sigv4 aws:amz:us-east-1:s3 "${options[@]}" -H "content-type: application/octet-stream" \
    -H "x-amz-content-sha256: $(printf %s "$body" | sha256sum | cut -d' ' -f1)" \
    "$AWS_ENDPOINT_URL_S3/$3"
}

expect() { # CODE ROLE METHOD NAME [BODY [HEADER...]]
  local code
  code=$(request "${@:2}")
  [ "$code" = "$1" ] || fail "${*:2} was answered $code, not $1: $(cat "$work/answer")"
}

# ---- roles, and what is not theirs ----
expect 200 owner PUT "$bucket"
expect 200 owner PUT "$bucket/other/secret" secret
for role in scheduler runner auditor; do
  make_role "$role" "$(fill_in $role)"
done

# ---- a search, each with its role ----
start_redis queue
export NERO_REDIS=unix://$work/queue.sock
as scheduler nero-sched doctor --store "$NERO_STORE" >"$work/doctor.out" 2>&1 ||
  fail "doctor as the scheduler"
as scheduler nero-sched submit "$source/presets/smoke.yaml" --name roles --seed 5 \
  >"$work/submit.out" 2>&1 || fail "submit as the scheduler"
become scheduler nero-sched serve --until-idle >"$work/serve.log" 2>&1 &
serve=$!
pids+=("$serve")
token=$(nero-sched keys token)
become runner nero-runner --run roles --join-token "$token" >"$work/runner.log" 2>&1 &
runner=$!
pids+=("$runner")
wait "$serve" || fail "the search"
kill "$runner"
wait "$runner" || true
! grep -F AccessDenied "$work/serve.log" "$work/runner.log" || fail "a refusal during the search"
as auditor nero-sched audit "$NERO_STORE" --root-key "$work/data/nero/keys/root.key.pub" \
  >"$work/audit.out" 2>&1 || fail "audit as the auditor"
as auditor nero-sched show roles >"$work/show.out" 2>&1 || fail "show as the auditor"

# ---- removing: of many at once, which no role may do in all of the bucket ----
expect 200 owner GET "$bucket?list-type=2&prefix=$prefix%2Fprobe%2F"
! grep -F "<Key>" "$work/answer" || fail "the probe left objects behind"
for digit in 1 2 3; do
  expect 200 owner PUT "$bucket/$prefix/runs/roles/blob/$digit$digit/$(printf '%064d' 0 |
    tr 0 "$digit")" unneeded
done
as scheduler nero-sched gc roles --grace-hours 0 --json >"$work/gc.out" 2>&1 ||
  fail "gc as the scheduler"
expect 200 owner GET "$bucket?list-type=2&prefix=$prefix%2Fruns%2Froles%2Fblob%2F"
! grep -E "/(11|22|33)/(1{64}|2{64}|3{64})<" "$work/answer" || fail "gc left blobs behind"
as auditor nero-sched audit "$NERO_STORE" --root-key "$work/data/nero/keys/root.key.pub" \
  >"$work/audit.out" 2>&1 || fail "audit after gc"

# ---- what each must not do ----
expect 200 owner GET "$bucket?list-type=2&prefix=$prefix%2Fruns%2Froles%2Fjob%2F"
slot=$(element Key) # the last one of the listing
expect 200 owner GET "$bucket?list-type=2&prefix=$prefix%2Fruns%2Froles%2Fblob%2F"
blob=$(element Key)
runs=$bucket/$prefix/runs/roles
for role in scheduler runner auditor; do
  expect 200 "$role" GET "$bucket/$slot"
  expect 404 "$role" GET "$runs/job/absent"
  expect 200 "$role" GET "$bucket?list-type=2&prefix=$prefix%2Fruns%2F"
  expect 403 "$role" GET "$bucket?list-type=2&prefix=other%2F"
  expect 403 "$role" GET "$bucket/other/secret"
  expect 403 "$role" PUT "$bucket/other/secret" mine
  expect 403 "$role" PUT "$bucket/$prefix-not-ours" mine
  expect 403 "$role" DELETE "$bucket/$slot"
  [ "$role" = scheduler ] || expect 403 "$role" DELETE "$bucket/$blob"
done
expect 412 runner PUT "$bucket/$slot" forged "if-none-match: *"
for name in run gen/0/00000000/closed epoch/0000000009 keys/x spec/00/x q/0000000009; do
  expect 403 runner PUT "$runs/$name" forged
done
expect 403 runner PUT "$bucket/$prefix/inbox/x" forged
expect 403 runner PUT "$bucket/$prefix/data/00/x" forged
expect 403 scheduler PUT "$runs/blob/00/x" forged
expect 204 scheduler DELETE "$bucket/$blob"
for name in job/x blob/00/x result/00/x run inbox/x; do
  expect 403 auditor PUT "$runs/$name" forged
done

# ---- a runner of one run ----
make_role narrow "$(fill_in runner roles)"
expect 200 narrow GET "$bucket/$slot"
expect 200 narrow PUT "$runs/job/mine" slot
expect 200 narrow PUT "$runs/blob/00/mine" blob
expect 200 owner PUT "$bucket/$prefix/runs/others/job/slot" theirs
for name in job/slot blob/00/x result/00/x; do
  expect 403 narrow PUT "$bucket/$prefix/runs/others/$name" forged
done
expect 403 narrow GET "$bucket/$prefix/runs/others/job/slot"
expect 403 narrow PUT "$bucket/$prefix/runs/roles-not/job/x" forged

# ---- objects in parts: of blobs alone, found and ended by who may write them ----
for role in runner narrow; do
  expect 200 "$role" POST "$runs/blob/00/large?uploads="
  upload=$(element UploadId)
  expect 200 "$role" PUT "$runs/blob/00/large?partNumber=1&uploadId=$upload" part
  expect 200 "$role" GET "$bucket?uploads="
  expect 200 "$role" GET "$runs/blob/00/large?uploadId=$upload"
  expect 403 auditor DELETE "$runs/blob/00/large?uploadId=$upload"
  expect 204 "$role" DELETE "$runs/blob/00/large?uploadId=$upload"
  expect 403 "$role" POST "$runs/epoch/x?uploads="
done
expect 403 narrow POST "$bucket/$prefix/runs/others/blob/00/large?uploads="
expect 403 auditor POST "$runs/blob/00/large?uploads="
expect 200 owner GET "$bucket?uploads="
! grep -F "<Upload>" "$work/answer" || fail "an upload stayed"

# ---- what our programs say of it ----
says() { # CODE WORDS COMMAND...
  local got=0
  "${@:3}" >"$work/said" 2>&1 || got=$?
  [ "$got" = "$1" ] || fail "exit code $got, not $1: ${*:3}: $(cat "$work/said")"
  grep -qF -- "$2" "$work/said" || fail "no word of '$2': ${*:3}: $(cat "$work/said")"
}
says 2 "lack s3:PutObject here (infra/policies" \
  as auditor nero-sched submit "$source/presets/smoke.yaml" --name refused --seed 6
says 1 "lack s3:PutObject here (infra/policies" as runner nero-sched doctor --store "$NERO_STORE"
says 2 "lack s3:ListBucket here (infra/policies" \
  as auditor nero-sched list --store "s3://$bucket/other"

# ---- the bucket's policy ----
only() { # SID...: these statements of the bucket's policy
  fill_in bucket | python3 -c 'import json, sys
policy = json.load(sys.stdin)
policy["Statement"] = [s for s in policy["Statement"] if s["Sid"] in sys.argv[1:]]
assert len(policy["Statement"]) == len(sys.argv) - 1
print(json.dumps(policy))' "$@"
}
make_role broad '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:*"],
  "Resource":["arn:aws:s3:::*"]}]}'
expect 204 owner PUT "$bucket?policy=" "$(only RecordsAreNeverDeleted RunnersDeleteNothing)"
expect 403 owner DELETE "$bucket/$slot"
expect 200 broad PUT "$runs/blob/00/x" garbage
expect 403 broad DELETE "$runs/blob/00/x"
expect 204 owner DELETE "$runs/blob/00/x"
# Ceph's policies do not know If-None-Match (the README says so): this one refuses all.
expect 204 owner PUT "$bucket?policy=" "$(only RecordsAreCreatedNeverReplaced)"
expect 403 owner PUT "$runs/job/x" new "if-none-match: *"
expect 200 owner PUT "$runs/blob/00/x" new
# One statement asks for TLS, and nothing but that.
expect 204 owner PUT "$bucket?policy=" "$(only TlsOnly)"
expect 403 owner GET "$bucket/$slot"
expect 403 owner PUT "$runs/blob/00/x" new
AWS_ENDPOINT_URL_S3=$NERO_TEST_TLS_ENDPOINT
expect 200 owner GET "$bucket/$slot"
expect 200 owner PUT "$runs/blob/00/x" new
expect 204 owner PUT "$bucket?policy=" "$(fill_in bucket)"
expect 200 owner GET "$bucket/$slot"
echo "each role did its work, and was refused the rest"
