{{- define "gatepost.name" -}}
{{- if contains "gatepost" .Release.Name }}{{ .Release.Name }}{{ else }}{{ .Release.Name }}-gatepost{{ end }}
{{- end }}

{{/* Labels that select the pods of a component: (dict "root" $ "component" NAME). */}}
{{- define "gatepost.selector" -}}
app.kubernetes.io/name: gatepost
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "gatepost.labels" -}}
{{ include "gatepost.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{- define "gatepost.image" -}}
{{- with .Values.image -}}
{{- if eq .tag "latest" }}
{{- fail "image.tag is latest, which is no version: name one, or leave it out" }}
{{- end -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{/* MiB that a gateway needs: 64, and 0.95 KiB for each key of its cache, rounded up. */}}
{{- define "gatepost.cacheMiB" -}}
{{- add 65 (div (mul (int64 .Values.gateway.cacheCapacity) 95) 102400) }}
{{- end }}

{{/* MiB of a gateway, or an error if its cache does not fit. */}}
{{- define "gatepost.gatewayMiB" -}}
{{- $needed := include "gatepost.cacheMiB" . | int64 }}
{{- $given := int64 .Values.gateway.memoryMiB }}
{{- if and (gt $given 0) (lt $given $needed) }}
{{- fail (printf "gateway.memoryMiB is %d, but gateway.cacheCapacity needs %d: raise the one or lower the other" $given $needed) }}
{{- end }}
{{- if gt $given 0 }}{{ $given }}{{ else }}{{ div (mul $needed 5) 4 }}{{ end }}
{{- end }}

{{/* The pod of a component: (dict "root" $ "component" NAME "memory" MIB "cpu" CPU "env" LIST "ports" LIST). */}}
{{- define "gatepost.pod" -}}
{{- $values := .root.Values -}}
automountServiceAccountToken: false
{{- with $values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
# Variables of services would look like configuration: GATEPOST_PORT and others.
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  seccompProfile:
    type: RuntimeDefault
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: topology.kubernetes.io/zone
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "gatepost.selector" . | nindent 8 }}
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "gatepost.selector" . | nindent 8 }}
{{- with $values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
containers:
  - name: {{ .component }}
    image: {{ include "gatepost.image" .root }}
    imagePullPolicy: {{ $values.image.pullPolicy }}
    args: [{{ .component }}, --config, /etc/gatepost/gatepost.toml]
    env:
      - name: GATEPOST_STORE__URL_FILE
        value: /run/secrets/gatepost/store-url
      - name: GATEPOST_STORE__MASTER_KEY_FILE
        value: /run/secrets/gatepost/master-key
      - name: GATEPOST_OPS__LISTEN
        value: {{ printf "%s:9464" $values.listenAddress | quote }}
      {{- range $name, $value := .env }}
      - name: {{ $name }}
        value: {{ $value | quote }}
      {{- end }}
    ports:
      {{- range $name, $port := .ports }}
      - name: {{ $name }}
        containerPort: {{ $port }}
      {{- end }}
      - name: ops
        containerPort: 9464
    # It waits for the store for up to a minute, alive and not ready.
    startupProbe:
      httpGet: {path: /livez, port: ops}
      periodSeconds: 1
      failureThreshold: 60
    readinessProbe:
      httpGet: {path: /readyz, port: ops}
      periodSeconds: 2
      timeoutSeconds: 2
      failureThreshold: 2
    # Not /readyz: a restart does not bring a lost store back.
    livenessProbe:
      httpGet: {path: /livez, port: ops}
      periodSeconds: 10
      timeoutSeconds: 5
      failureThreshold: 3
    resources:
      requests:
        cpu: {{ .cpu }}
        memory: {{ .memory }}Mi
      limits:
        memory: {{ .memory }}Mi
    securityContext:
      allowPrivilegeEscalation: false
      readOnlyRootFilesystem: true
      capabilities:
        drop: [ALL]
    volumeMounts:
      - name: config
        mountPath: /etc/gatepost
        readOnly: true
      - name: secret
        mountPath: /run/secrets/gatepost
        readOnly: true
volumes:
  - name: config
    configMap:
      name: {{ include "gatepost.name" .root }}
  - name: secret
    secret:
      secretName: {{ $values.secret.name }}
      # The group of the pod may read it.
      defaultMode: 0440
      items:
        - key: {{ $values.secret.masterKey }}
          path: master-key
        - key: {{ $values.secret.storeUrl }}
          path: store-url
{{- end }}

{{/* Annotations and labels of pods: (dict "root" $ "component" NAME "annotations" DICT). */}}
{{- define "gatepost.podMetadata" -}}
labels:
  {{- include "gatepost.labels" . | nindent 2 }}
  {{- with .root.Values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with merge (dict) .annotations .root.Values.podAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* The pod that creates the store, as JSON for kubectl run. */}}
{{- define "gatepost.firstPod" -}}
{{- $pod := include "gatepost.pod" (dict "root" . "component" "control-plane" "memory" 256 "cpu" "100m" "env" dict "ports" dict) | fromYaml }}
{{- $container := index $pod.containers 0 }}
{{- $_ := set $container "args" (list "access-key" "create" "--config" "/etc/gatepost/gatepost.toml") }}
{{- range list "startupProbe" "readinessProbe" "livenessProbe" "ports" }}{{ $_ := unset $container . }}{{ end }}
{{- $_ := set $container "name" "first" }}
{{- dict "apiVersion" "v1" "spec" $pod | toJson }}
{{- end }}
