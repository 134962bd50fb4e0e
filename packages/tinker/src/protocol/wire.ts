/**
 * JSON bodies as they travel (snake_case), for the routes whose payload is small. The bodies with tensors or tokens
 * (forward, forward_backward, asample) have domain types of their own and codecs in `codec/`.
 */

export interface ClientConfigBody {
  readonly pjwt_auth_enabled?: boolean;
  readonly credential_default_source?: "api_key" | "credential_cmd";
  readonly sample_dispatch_bytes_semaphore_size?: number;
  readonly inflight_response_bytes_semaphore_size?: number;
  readonly parallel_fwdbwd_chunks?: boolean;
  readonly proto_compress_fwdbwd?: boolean;
  readonly proto_write_fwdbwd?: boolean;
  readonly fwdbwd_max_chunk_len?: number;
  readonly fwdbwd_max_chunk_bytes_count?: number;
  readonly fwdbwd_dispatch_bytes_semaphore_size?: number;
  readonly billing_exception_max_pause_duration_sec?: number;
  readonly sample_no_retries?: boolean;
  readonly sample_max_concurrent_requests?: number;
  readonly create_model_via_load_weights?: boolean;
}

export interface CreateSessionBody {
  readonly tags: readonly string[];
  readonly user_metadata?: Readonly<Record<string, string>>;
  readonly sdk_version: string;
  readonly project_id?: string;
  readonly type: "create_session";
}

export interface CreateSessionAnswer {
  readonly type: "create_session";
  readonly session_id: string;
  readonly info_message?: string | null;
  readonly warning_message?: string | null;
  readonly error_message?: string | null;
}

export interface SessionHeartbeatBody {
  readonly session_id: string;
  readonly type: "session_heartbeat";
}

export interface LoraConfigBody {
  readonly rank: number;
  readonly seed?: number;
  readonly train_unembed?: boolean;
  readonly train_mlp?: boolean;
  readonly train_attn?: boolean;
}

export interface CreateModelBody {
  readonly session_id: string;
  readonly model_seq_id: number;
  readonly base_model: string;
  readonly user_metadata?: Readonly<Record<string, string>>;
  readonly lora_config?: LoraConfigBody;
  readonly type: "create_model";
}

export interface CreateModelAnswer {
  readonly model_id: string;
  readonly type?: "create_model";
}

/** Answer of every call that works in the background. */
export interface PromiseBody {
  readonly request_id: string;
  readonly model_id?: string;
  readonly sample_sequence_ids?: readonly string[];
}

export interface RetrieveFutureBody {
  readonly request_id: string;
  readonly allow_metadata_only?: boolean;
}

export interface TryAgainBody {
  readonly type: "try_again";
  readonly request_id: string;
  readonly queue_state: "active" | "paused_capacity" | "paused_rate_limit";
  readonly queue_state_reason?: string | null;
}

export interface CompleteMetadataBody {
  readonly status: "complete_metadata";
  readonly response_payload_size: number;
}

export interface RequestFailedBody {
  readonly error: string;
  readonly category: "user" | "server" | "unknown";
}

export interface AdamParamsBody {
  readonly learning_rate: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly eps: number;
  readonly weight_decay: number;
  readonly grad_clip_norm: number;
}

export interface OptimStepBody {
  readonly model_id: string;
  readonly seq_id?: number;
  readonly adam_params: AdamParamsBody;
  readonly type: "optim_step";
}

export interface OptimStepAnswer {
  readonly metrics?: Readonly<Record<string, number>> | null;
}

export interface SaveWeightsBody {
  readonly model_id: string;
  readonly path: string;
  readonly seq_id?: number;
  readonly ttl_seconds?: number;
  readonly overwrite?: boolean;
  readonly type: "save_weights";
}

export interface SaveWeightsForSamplerBody {
  readonly model_id: string;
  readonly path?: string;
  readonly sampling_session_seq_id?: number;
  readonly seq_id?: number;
  readonly ttl_seconds?: number;
  readonly type: "save_weights_for_sampler";
}

export interface SaveWeightsAnswer {
  readonly path?: string | null;
  readonly sampling_session_id?: string | null;
  readonly type?: string;
}

export interface LoadWeightsBody {
  readonly model_id: string;
  readonly seq_id?: number;
  readonly path: string;
  readonly optimizer: boolean;
  readonly weights_access_token?: string;
  readonly type: "load_weights";
}

export interface WeightsInfoAnswer {
  readonly base_model: string;
  readonly is_lora: boolean;
  readonly lora_rank?: number | null;
  readonly train_unembed?: boolean | null;
  readonly train_mlp?: boolean | null;
  readonly train_attn?: boolean | null;
}

export interface GetInfoAnswer {
  readonly model_id?: string;
  readonly model_data: {
    readonly arch?: string | null;
    readonly model_name?: string | null;
    readonly base_model?: string | null;
    readonly tokenizer_id?: string | null;
  };
  readonly is_lora?: boolean | null;
  readonly lora_rank?: number | null;
  readonly model_name?: string | null;
}

export interface ServerCapabilitiesAnswer {
  readonly supported_models: readonly { readonly model_name: string; readonly max_context_length?: number | null }[];
}

export interface CreateSamplingSessionBody {
  readonly session_id: string;
  readonly sampling_session_seq_id: number;
  readonly base_model?: string;
  readonly model_path?: string;
  readonly type: "create_sampling_session";
}

export interface CreateSamplingSessionAnswer {
  readonly sampling_session_id: string;
}

export interface SamplerAnswer {
  readonly sampler_id: string;
  readonly base_model: string;
  readonly model_path?: string | null;
}

export interface CheckpointBody {
  readonly checkpoint_id: string;
  readonly checkpoint_type: "training" | "sampler";
  readonly time: string;
  readonly tinker_path: string;
  readonly size_bytes?: number | null;
  readonly public?: boolean | null;
  readonly expires_at?: string | null;
}

export interface CursorBody {
  readonly offset: number;
  readonly limit: number;
  readonly total_count: number;
}

export interface TrainingRunBody {
  readonly training_run_id: string;
  readonly base_model: string;
  readonly model_owner: string;
  readonly is_lora: boolean;
  readonly corrupted?: boolean;
  readonly lora_rank?: number | null;
  readonly last_request_time: string;
  readonly last_checkpoint?: CheckpointBody | null;
  readonly last_sampler_checkpoint?: CheckpointBody | null;
  readonly user_metadata?: Readonly<Record<string, string>> | null;
}
