{{/* The processes of wabus. Each: service, role, the values of its service and of the process itself. */}}
{{- define "wabus.processes" -}}
gateway:
  service: gateway
  role: all
  values: gateway
  serves: true
  paths: ["/webhooks", "/whatsapp", "/ui"]
template-sync-api:
  service: template-sync
  role: api
  values: templateSync
  process: api
  serves: true
  paths: ["/templates", "/openapi.json"]
template-sync-worker:
  service: template-sync
  role: worker
  values: templateSync
  process: worker
  serves: false
  projection: template-sync-projection
health-projector-api:
  service: health-projector
  role: api
  values: healthProjector
  process: api
  serves: true
  paths: ["/webhook/health"]
health-projector-worker:
  service: health-projector
  role: worker
  values: healthProjector
  process: worker
  serves: false
  projection: health-projector
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

{{/* image: (list root service) */}}
{{- define "wabus.image" -}}
{{- $root := index . 0 -}}
{{- with $root.Values.image.registry }}{{ . }}/{{ end }}wabus-{{ index . 1 }}:{{ $root.Values.image.tag | default $root.Chart.AppVersion }}
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
- name: PUBLIC_URL
  value: {{ $values.publicUrl | quote }}
{{- /* APIs neither speak to Meta nor open a token; workers are asked by nobody. */}}
{{- if ne $process.role "api" }}
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
{{- end }}
{{- if ne $process.service "gateway" }}
{{ include "wabus.fromSecret" (list $root "DATABASE_URL") }}
{{- if and $values.readReplica (eq $process.role "api") }}
{{ include "wabus.fromSecret" (list $root "READ_DATABASE_URL") }}
{{- end }}
{{- end }}
{{- if and $values.alertWebhookUrl (eq $process.service "health-projector") (eq $process.role "worker") }}
- name: ALERT_WEBHOOK_URL
  value: {{ $values.alertWebhookUrl | quote }}
{{ include "wabus.fromSecret" (list $root "ALERT_WEBHOOK_SECRET") }}
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
messages.v1: {cleanup: delete, retention: "2592000000"}
credentials.v1: {cleanup: compact, retention: "-1"}
health.v1: {cleanup: delete, retention: "-1"}
deadletter.v1: {cleanup: delete, retention: "7776000000"}
{{- end }}

{{/* What each service does in Kafka. Every one of them looks at every topic; nothing else is allowed. */}}
{{- define "wabus.rights" -}}
gateway:
  reads: [credentials.v1]
  writes: [accounts.v1, credentials.v1, deadletter.v1, messages.v1, templates.v1]
  groups: []
  transactions: connect-
template-sync:
  reads: [accounts.v1, credentials.v1, templates.v1]
  writes: [deadletter.v1, templates.v1]
  groups: [template-sync, template-sync-projection]
  transactions: template-sync-
health-projector:
  reads: [accounts.v1, credentials.v1, health.v1, messages.v1, templates.v1]
  writes: [accounts.v1, deadletter.v1, health.v1]
  groups: [health-alerts, health-checks, health-history, health-projector]
  transactions: health-evaluator
{{- end }}
