{{/*
The processes of wabus: a service that is added has an entry here for each of its roles, one in `wabus.rights`, and values.
Each: service and role as `wabus serve` has them, the values of its service and of the process itself, what of it is reached
from outside, whether it has tables, whether it speaks to Meta, whether it reads or writes media, and whether it makes nobody's name (then it has no
IDENTITY_KEY).
*/}}
{{- define "wabus.processes" -}}
gateway:
  service: gateway
  role: all
  values: gateway
  serves: true
  paths: ["/webhooks", "/whatsapp", "/ui", "/inbox", "/insights"]
  tables: false
  meta: true
template-sync-api:
  service: template-sync
  role: api
  values: templateSync
  process: api
  serves: true
  paths: ["/templates", "/openapi.json"]
  tables: true
template-sync-worker:
  service: template-sync
  role: worker
  values: templateSync
  process: worker
  serves: false
  tables: true
  meta: true
  projection: template-sync-projection
health-projector-api:
  service: health-projector
  role: api
  values: healthProjector
  process: api
  serves: true
  paths: ["/webhook/health"]
  tables: true
health-projector-worker:
  service: health-projector
  role: worker
  values: healthProjector
  process: worker
  serves: false
  tables: true
  meta: true
  projection: health-projector
conversations-api:
  service: conversations
  role: api
  values: conversations
  process: api
  serves: true
  paths: ["/conversations", "/contacts", "/stream-tickets", "/media", "/teams", "/routing"]
  tables: true
  namesNobody: true
  media: true
conversations-worker:
  service: conversations
  role: worker
  values: conversations
  process: worker
  serves: false
  tables: true
  meta: true
  media: true
  projection: conversations
subscriptions-api:
  service: subscriptions
  role: api
  values: subscriptions
  process: api
  serves: true
  paths: ["/subscriptions"]
  tables: true
subscriptions-worker:
  service: subscriptions
  role: worker
  values: subscriptions
  process: worker
  serves: false
  tables: true
  projection: subscriptions
sender-api:
  service: sender
  role: api
  values: sender
  process: api
  serves: true
  paths: ["/messages", "/sends", "/numbers"]
  tables: true
sender-worker:
  service: sender
  role: worker
  values: sender
  process: worker
  serves: false
  tables: true
  meta: true
  projection: sender
insights-api:
  service: insights
  role: api
  values: insights
  process: api
  serves: true
  paths: ["/performance", "/costs", "/budgets", "/advice", "/experiments", "/rates"]
  tables: true
insights-worker:
  service: insights
  role: worker
  values: insights
  process: worker
  serves: false
  tables: true
  meta: true
  projection: insights
{{- end }}

{{- define "wabus.fullname" -}}
{{- if contains "wabus" .Release.Name }}{{ .Release.Name | trunc 36 | trimSuffix "-" }}{{ else }}{{ printf "%s-wabus" .Release.Name | trunc 36 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "wabus.selector" -}}
app.kubernetes.io/name: wabus
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "wabus.labels" -}}
{{ include "wabus.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "wabus.image" -}}
{{- with .Values.image.registry }}{{ . }}/{{ end }}wabus:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{/* The names of the services, each once, as JSON. */}}
{{- define "wabus.services" -}}
{{- $names := list -}}
{{- range include "wabus.processes" . | fromYaml }}{{ $names = append $names .service }}{{ end -}}
{{ $names | uniq | sortAlpha | toJson }}
{{- end }}

{{/* The Secret with a service's name and password for Kafka: (list root service valuesKey) */}}
{{- define "wabus.kafkaUser" -}}
{{- $root := index . 0 -}}
{{- if $root.Values.kafka.strimzi.enabled -}}
{{ include "wabus.fullname" $root }}-{{ index . 1 }}
{{- else -}}
{{ index $root.Values.kafka.users (index . 2) }}
{{- end -}}
{{- end }}

{{- define "wabus.caSecret" -}}
{{- if not (hasSuffix "SSL" .Values.kafka.securityProtocol) -}}
{{- else if .Values.kafka.strimzi.enabled -}}
{{ .Values.kafka.strimzi.cluster }}-cluster-ca-cert
{{- else -}}
{{ .Values.kafka.caSecret }}
{{- end -}}
{{- end }}

{{- define "wabus.fromSecret" -}}
- name: {{ index . 1 }}
  valueFrom:
    secretKeyRef:
      name: {{ (index . 0).Values.existingSecret }}
      key: {{ index . 1 }}
{{- end }}

{{/* What a process is told: (list root process settings) */}}
{{- define "wabus.env" -}}
{{- $root := index . 0 -}}
{{- $process := index . 1 -}}
{{- $values := $root.Values -}}
{{- if not $process.namesNobody }}
{{ include "wabus.fromSecret" (list $root "IDENTITY_KEY") }}
{{- end }}
{{- if or $process.serves $process.meta }}
- name: PUBLIC_URL
  value: {{ $values.publicUrl | quote }}
{{- end }}
{{- /* APIs neither speak to Meta nor open a token; workers are asked by nobody. */}}
{{- if $process.meta }}
- name: META_APP_ID
  value: {{ $values.metaAppId | quote }}
{{ include "wabus.fromSecret" (list $root "META_APP_SECRETS") }}
{{ include "wabus.fromSecret" (list $root "META_VERIFY_TOKEN") }}
{{ include "wabus.fromSecret" (list $root "CREDENTIAL_KEYS") }}
{{- end }}
{{- if ne $process.role "worker" }}
{{- if $values.jwt.jwksUrl }}
- name: JWT_JWKS_URL
  value: {{ $values.jwt.jwksUrl | quote }}
{{- else }}
{{ include "wabus.fromSecret" (list $root "JWT_SECRET") }}
{{- end }}
{{- with $values.jwt.audience }}
- name: JWT_AUDIENCE
  value: {{ . | quote }}
{{- end }}
{{- with $values.jwt.issuer }}
- name: JWT_ISSUER
  value: {{ . | quote }}
{{- end }}
{{- with $values.allowedOrigins }}
- name: ALLOWED_ORIGINS
  value: {{ join "," . | quote }}
{{- end }}
{{- end }}
{{- if $process.tables }}
{{ include "wabus.fromSecret" (list $root "DATABASE_URL") }}
{{- if and $values.conversations.database (eq $process.service "conversations") }}
{{ include "wabus.fromSecret" (list $root "CONVERSATIONS_DATABASE_URL") }}
{{- end }}
{{- if and $values.sender.database (eq $process.service "sender") }}
{{ include "wabus.fromSecret" (list $root "SENDER_DATABASE_URL") }}
{{- end }}
{{- if and $values.insights.database (eq $process.service "insights") }}
{{ include "wabus.fromSecret" (list $root "INSIGHTS_DATABASE_URL") }}
{{- end }}
{{- if and $values.readReplica (eq $process.role "api") (not (has $process.service (list "sender" "insights"))) }}
{{ include "wabus.fromSecret" (list $root "READ_DATABASE_URL") }}
{{- end }}
{{- if and $values.conversations.readReplica (eq $process.service "conversations") (eq $process.role "api") }}
{{ include "wabus.fromSecret" (list $root "CONVERSATIONS_READ_DATABASE_URL") }}
{{- end }}
{{- end }}
{{- if and $values.alertWebhookUrl (eq $process.service "health-projector") (eq $process.role "worker") }}
- name: ALERT_WEBHOOK_URL
  value: {{ $values.alertWebhookUrl | quote }}
{{ include "wabus.fromSecret" (list $root "ALERT_WEBHOOK_SECRET") }}
{{- end }}
{{- if and $values.subscriptions.url (eq $process.service "subscriptions") (eq $process.role "worker") }}
- name: SUBSCRIPTIONS_URL
  value: {{ $values.subscriptions.url | quote }}
{{ include "wabus.fromSecret" (list $root "SUBSCRIPTIONS_SECRET") }}
{{- end }}
{{- if $process.media }}
- name: MEDIA_STORE_URL
  value: {{ ternary "file:/media" $values.conversations.media.storeUrl (ne $values.conversations.media.claim "") | quote }}
{{- end }}
- name: KAFKA_BOOTSTRAP_SERVERS
  value: {{ $values.kafka.bootstrapServers | quote }}
- name: KAFKA_SECURITY_PROTOCOL
  value: {{ $values.kafka.securityProtocol }}
- name: TOPIC_PREFIX
  value: {{ $values.kafka.topicPrefix | quote }}
- name: TOPIC_REPLICATION
  value: {{ $values.kafka.strimzi.replicas | quote }}
{{- if hasPrefix "SASL" $values.kafka.securityProtocol }}
{{- $user := include "wabus.kafkaUser" (list $root $process.service $process.values) }}
- name: KAFKA_SASL_MECHANISM
  value: {{ $values.kafka.saslMechanism }}
- name: KAFKA_SASL_USERNAME
{{- if $values.kafka.strimzi.enabled }}
  value: {{ $user }}
{{- else }}
  valueFrom: {secretKeyRef: {name: {{ $user }}, key: username}}
{{- end }}
- name: KAFKA_SASL_PASSWORD
  valueFrom: {secretKeyRef: {name: {{ $user }}, key: password}}
{{- end }}
{{- if include "wabus.caSecret" $root }}
- name: KAFKA_CA_FILE
  value: /etc/wabus/kafka/ca.crt
{{- end }}
{{- range $name, $value := merge (dict) (index . 2) $values.settings }}
- name: {{ $name }}
  value: {{ $value | toString | quote }}
{{- end }}
{{- end }}

{{- define "wabus.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "wabus.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "wabus.placement" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}

{{/* The values of a process: those of its service, or of its part of the service. (list root process) */}}
{{- define "wabus.values" -}}
{{- $process := index . 1 -}}
{{- $values := index (index . 0).Values $process.values -}}
{{- if $process.process }}{{ $values = index $values $process.process }}{{ end -}}
{{ toYaml $values }}
{{- end }}

{{/* Topics as libs/events declares them. Quoted, or large numbers would come out as 2.592e+09. */}}
{{- define "wabus.topics" -}}
accounts.v1: {cleanup: delete, retention: "-1"}
templates.v1: {cleanup: delete, retention: "-1"}
messages.v1: {cleanup: delete, retention: "2505600000", segment: "43200000"}
sends.v1: {cleanup: delete, retention: "2505600000", segment: "43200000"}
conversations.v1: {cleanup: delete, retention: "2505600000", segment: "43200000"}
credentials.v1: {cleanup: compact, retention: "-1"}
health.v1: {cleanup: delete, retention: "-1"}
insights.v1: {cleanup: delete, retention: "-1"}
prices.v1: {cleanup: compact, retention: "-1", partitions: "1"}
erasures.v1: {cleanup: compact, retention: "-1", partitions: "1"}
keys.v1: {cleanup: compact, retention: "-1", partitions: "1"}
deadletter.v1: {cleanup: delete, retention: "2505600000", segment: "43200000"}
{{- end }}

{{/* What each service does in Kafka. Every one of them looks at every topic; nothing else is allowed. */}}
{{- define "wabus.rights" -}}
gateway:
  reads: [credentials.v1, erasures.v1, keys.v1]
  writes: [accounts.v1, credentials.v1, deadletter.v1, keys.v1, messages.v1, templates.v1]
  groups: []
  transactions: connect-
template-sync:
  reads: [accounts.v1, credentials.v1, erasures.v1, keys.v1, templates.v1]
  writes: [deadletter.v1, keys.v1, templates.v1]
  groups: [template-sync, template-sync-projection]
  transactions: template-sync-
health-projector:
  reads: [accounts.v1, credentials.v1, erasures.v1, health.v1, keys.v1, messages.v1, sends.v1, templates.v1]
  writes: [accounts.v1, deadletter.v1, health.v1, keys.v1]
  groups: [health-alerts, health-checks, health-history, health-projector]
  transactions: health-evaluator
conversations:
  reads: [accounts.v1, conversations.v1, credentials.v1, erasures.v1, messages.v1, sends.v1]
  writes: [conversations.v1, deadletter.v1, erasures.v1, messages.v1]
  groups: [conversations, conversations-work]
subscriptions:
  reads: [accounts.v1, conversations.v1, erasures.v1, health.v1, insights.v1, messages.v1, sends.v1, templates.v1]
  writes: [deadletter.v1]
  groups: [subscriptions]
sender:
  reads: [accounts.v1, conversations.v1, credentials.v1, erasures.v1, insights.v1, keys.v1, messages.v1, prices.v1, sends.v1, templates.v1]
  writes: [deadletter.v1, keys.v1, sends.v1, templates.v1]
  groups: [sender]
insights:
  reads: [accounts.v1, credentials.v1, erasures.v1, insights.v1, keys.v1, messages.v1, prices.v1, sends.v1, templates.v1]
  writes: [deadletter.v1, insights.v1, keys.v1, sends.v1]
  groups: [insights]
{{- end }}
