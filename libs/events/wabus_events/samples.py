"""What the fields of an example say: by event or part and field, or by field alone. A `value` is as Meta sends it."""

from typing import Any

NUMBER, DISPLAY, CUSTOMER = "106540352242922", "+1 555 078 3881", "16505551234"
TEMPLATE = {
    "message_template_id": 594425479261596,
    "message_template_name": "order_confirmation",
    "message_template_language": "en_US",
}
WAMID = "wamid.HBgLMTY1MDU1NTEyMzQVAgASGBQzQTdBMTIzNAA="
METADATA = {"display_phone_number": "15550783881", "phone_number_id": NUMBER}
USER, PARENT, USERNAME = "US.13491208655302741918", "US.ENT.11815799212886844830", "anna.smith"
CONTACTS = [{"profile": {"name": "Anna", "username": USERNAME}, "wa_id": CUSTOMER, "user_id": USER}]
GROUP = "Y2FwaV9ncm91cDoxNzA1NTU1MDEzOToxMjAzNjM0MDQ2OTQyMzM4MjAZD"

SAMPLES: dict[str, Any] = {
    "verified_name": "Lucky Shrub",
    "quality_rating": "GREEN",
    "messaging_limit": "TIER_2K",
    "scope": "whatsapp_business_messaging",
    "connected_by": "hmac:5f2b0c1d9e7a4f3386c2d1b0a9e8f7c6",
    "requested_by": "hmac:5f2b0c1d9e7a4f3386c2d1b0a9e8f7c6",
    "identity": "0f6a3c1e5b7d9f2046a8c0e2f4b6d8091b3d5f70921436587a9cbedf01234567",
    "secret": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2U=",
    "portfolio_id": "506914307656634",
    "group_id": GROUP,
    "user_id": USER,
    "parent_user_id": PARENT,
    "username": USERNAME,
    "participant": CUSTOMER,
    "participant_user_id": USER,
    "original_wamid": "wamid.HBgLMTY1MDU1NTEyMzQVAgASGBQzQUNCNjk5RDUwAA==",
    "reason": "connected",
    "decision": "APPROVED",
    "status": "APPROVED",
    "quality": "GREEN",
    "quality_score": "GREEN",
    "parameter_format": "POSITIONAL",
    "caused_by": "1f0e8a55-0d5a-5d0c-9d4f-1f3f8f8f2a10",
    "fingerprint": "9b1f6c0e2d7a4c55",
    "text": "Your order is on its way",
    "variable": "1",
    "examples": {"1": "Anna"},
    "AccountDisconnected.reason": "disconnected by an admin",
    "WebhookSeen.field": "MessageReceived",
    "AccountUpdated.event": "ACCOUNT_RESTRICTION",
    "AccountUpdated.reason": "USER_INITIATED",
    "AccountUpdated.value": {
        "event": "ACCOUNT_RESTRICTION",
        "restriction_info": [{"restriction_type": "RESTRICTED_BIZ_INITIATED_MESSAGING", "expiration": 1767500000}],
    },
    "AccountReviewed.value": {"decision": "APPROVED"},
    "AccountAlerted.alert_type": "OBA_APPROVED",
    "AccountAlerted.severity": "INFORMATIONAL",
    "AccountAlerted.value": {
        "entity_type": "BUSINESS", "entity_id": "506914307656634",
        "alert_info": {"alert_severity": "INFORMATIONAL", "alert_status": "NONE", "alert_type": "OBA_APPROVED"},
    },
    "AccountSettingsChanged.value": {
        "type": "phone_number_settings", "phone_number_settings": {"phone_number_id": NUMBER},
    },
    "CapabilityChanged.max_daily_conversation_per_phone": None,
    "CapabilityChanged.max_daily_conversations_per_business": 10_000,
    "CapabilityChanged.max_phone_numbers_per_business": None,
    "CapabilityChanged.max_phone_numbers_per_waba": 25,
    "CapabilityChanged.value": {"max_daily_conversations_per_business": 10_000, "max_phone_numbers_per_waba": 25},
    "PhoneNumberQualityChanged.event": "UPGRADE",
    "PhoneNumberQualityChanged.current_limit": "TIER_10K",
    "PhoneNumberQualityChanged.value": {
        "display_phone_number": "15550783881", "event": "UPGRADE", "current_limit": "TIER_10K",
    },
    "PhoneNumberNameReviewed.decision": "REJECTED",
    "PhoneNumberNameReviewed.requested_verified_name": "Lucky Shrub",
    "PhoneNumberNameReviewed.rejection_reason": "NAME_EMPLOYEE_ISSUE",
    "PhoneNumberNameReviewed.value": {
        "display_phone_number": "15550783881", "decision": "REJECTED", "requested_verified_name": "Lucky Shrub",
        "rejection_reason": "NAME_EMPLOYEE_ISSUE",
    },
    "SecurityChanged.event": "PIN_CHANGED",
    "SecurityChanged.value": {"display_phone_number": "15550783881", "event": "PIN_CHANGED"},
    "AccountCheckRequested.check_id": "7c1d2f3e-8a55-4d0c-9d4f-1f3f8f8f2a10",
    "time_zone_id": 47,
    "time_zone": "Europe/Berlin",
    "currency": "EUR",
    "country": "DE",
    "platform_type": "CLOUD_API",
    "throughput": "STANDARD",
    "PhoneNumber.status": "CONNECTED",
    "AccountChecked.can_send_message": "BLOCKED",
    "CheckedNumber.can_send_message": "AVAILABLE",
    "AccountChecked.fields_missing": ["smb_message_echoes"],
    "AccountChecked.app_callback_host": "elsewhere.example.com",
    "SendingRestriction.entity_type": "WABA",
    "SendingRestriction.entity_id": "102290129340398",
    "SendingRestriction.can_send_message": "BLOCKED",
    "SendingRestriction.additional_info": ["The limit rises once the display name is approved."],
    "SendingError.error_code": 141006,
    "SendingError.description": "There is an error with the payment method.",
    "SendingError.possible_solution": "Please add a new payment method to the account.",
    "AccountChecked.our_callback_url": "https://wabus.example.com/webhooks/whatsapp",
    "AccountChecked.error_code": "token_expired",
    "AccountChecked.error_message": "The access token has expired.",
    "CheckedNumber.status": "CONNECTED",
    "CheckedNumber.messaging_limit": "TIER_2K",
    "CheckedNumber.messaging_limit_before": "TIER_250",
    "CheckedNumber.name_status": "APPROVED",
    "HealthChanged.from_status": "healthy",
    "HealthChanged.to_status": "failing",
    "HealthChanged.previous_id": "2f0e8a55-0d5a-5d0c-9d4f-1f3f8f8f2a10",
    "HealthReason.code": "token_expired",
    "HealthReason.severity": "failing",
    "HealthReason.message": "The access to your WhatsApp account has expired.",
    "HealthReason.remedy": "Connect WhatsApp again.",
    "MessageReceived.value": {
        "messaging_product": "whatsapp", "metadata": METADATA,
        "contacts": [{"profile": {"name": "Anna"}, "wa_id": CUSTOMER}],
        "messages": [
            {"from": CUSTOMER, "id": WAMID, "timestamp": "1767323045", "type": "text", "text": {"body": "Grüße 👋"}}
        ],
    },
    "MessageStatusChanged.status": "failed",
    "MessageStatusChanged.error_code": 131047,
    "MessageStatusChanged.value": {
        "messaging_product": "whatsapp", "metadata": METADATA,
        "statuses": [
            {
                "id": WAMID, "status": "failed", "timestamp": "1767323045", "recipient_id": CUSTOMER,
                "errors": [{"code": 131047, "title": "Re-engagement message"}],
            }
        ],
    },
    "MessagingFailed.error_code": 130429,
    "MessagingFailed.value": {
        "messaging_product": "whatsapp", "metadata": METADATA,
        "errors": [{"code": 130429, "title": "Rate limit hit", "message": "Rate limit hit"}],
    },
    "MessageEchoed.message_type": "edit",
    "MessageEchoed.value": {
        "messaging_product": "whatsapp", "metadata": METADATA, "contacts": CONTACTS,
        "message_echoes": [
            {
                "from": "15550783881", "to": CUSTOMER, "to_user_id": USER, "id": WAMID, "timestamp": "1767323045",
                "type": "edit",
                "edit": {
                    "original_message_id": "wamid.HBgLMTY1MDU1NTEyMzQVAgASGBQzQUNCNjk5RDUwAA==",
                    "message": {"type": "text", "text": {"body": "It comes at nine."}},
                },
            }
        ],
    },
    "MessageImported.message_type": "text",
    "MessageImported.original_wamid": None,
    "MessageImported.status": "READ",
    "MessageImported.value": {
        "messaging_product": "whatsapp", "metadata": METADATA,
        "history": [
            {
                "metadata": {"phase": 0, "chunk_order": 1, "progress": 55},
                "threads": [
                    {
                        "id": CUSTOMER,
                        "messages": [
                            {
                                "from": CUSTOMER, "id": WAMID, "timestamp": "1767323045", "type": "text",
                                "text": {"body": "Thanks!"}, "history_context": {"status": "READ"},
                            }
                        ],
                    }
                ],
            }
        ],
    },
    "HistoryProgressed.phase": 0,
    "HistoryProgressed.chunk_order": 1,
    "HistoryProgressed.progress": 55,
    "HistoryProgressed.messages": 3,
    "HistoryProgressed.error_code": 2593109,
    "HistoryProgressed.value": {
        "messaging_product": "whatsapp", "metadata": METADATA,
        "history": [
            {
                "errors": [
                    {
                        "code": 2593109,
                        "title": "History sync is turned off by the business from the WhatsApp Business App",
                    }
                ]
            }
        ],
    },
    "ContactSynced.action": "add",
    "ContactSynced.full_name": "Anna Smith",
    "ContactSynced.first_name": "Anna",
    "ContactSynced.value": {
        "messaging_product": "whatsapp", "metadata": METADATA,
        "state_sync": [
            {
                "type": "contact", "action": "add", "metadata": {"timestamp": "1767323045"},
                "contact": {
                    "full_name": "Anna Smith", "first_name": "Anna", "phone_number": CUSTOMER, "user_id": USER,
                },
            }
        ],
    },
    "ContactIdentityChanged.previous_user_id": "US.10000000000000000001",
    "ContactIdentityChanged.current_user_id": USER,
    "ContactIdentityChanged.previous_parent_user_id": "US.ENT.10000000000000000001",
    "ContactIdentityChanged.current_parent_user_id": PARENT,
    "ContactIdentityChanged.previous_wa_id": "16505550000",
    "ContactIdentityChanged.current_wa_id": CUSTOMER,
    "ContactIdentityChanged.value": {
        "messaging_product": "whatsapp", "metadata": METADATA,
        "messages": [
            {
                "from": "16505550000", "id": WAMID, "timestamp": "1767323045", "type": "system",
                "system": {
                    "body": "User Anna changed from 16505550000 to 16505551234", "type": "user_changed_number",
                    "wa_id": CUSTOMER, "user_id": USER, "previous_user_id": "US.10000000000000000001",
                },
            }
        ],
    },
    "MarketingPreferenceChanged.category": "marketing_messages",
    "MarketingPreferenceChanged.choice": "stop",
    "MarketingPreferenceChanged.signup_id": "24230790383178626",
    "MarketingPreferenceChanged.value": {
        "messaging_product": "whatsapp", "metadata": METADATA, "contacts": CONTACTS,
        "user_preferences": [
            {
                "wa_id": CUSTOMER, "user_id": USER, "detail": "User requested to stop marketing messages",
                "category": "marketing_messages", "value": "stop", "timestamp": 1767323045,
            }
        ],
    },
    "ThreadControlChanged.change": "control_passed",
    "ThreadControlChanged.previous_owner_role": "ai_agent",
    "ThreadControlChanged.new_owner_role": "escalation",
    "ThreadControlChanged.previous_owner_app_id": "1066355071287456",
    "ThreadControlChanged.new_owner_app_id": "1066355071287457",
    "ThreadControlChanged.metadata": "Asked for a person",
    "ThreadControlChanged.value": {
        "messaging_product": "whatsapp", "recipient": METADATA, "sender": {"phone_number": CUSTOMER},
        "timestamp": "1767323045", "type": "control_passed",
        "control_passed": {
            "previous_owner_role": "ai_agent", "new_owner_role": "escalation", "metadata": "Asked for a person",
        },
    },
    "StandbyReceived.kind": "message",
    "StandbyReceived.message_type": "text",
    "StandbyReceived.status": "delivered",
    "StandbyReceived.error_code": 131047,
    "StandbyReceived.value": {
        "messaging_product": "whatsapp", "metadata": METADATA,
        "standby": {
            "contacts": CONTACTS,
            "messages": [
                {"from": CUSTOMER, "id": WAMID, "timestamp": "1767323045", "type": "text", "text": {"body": "Hello"}}
            ],
        },
    },
    "CallReported.call_id": "wacid.HBgLMTY1MDU1NTEyMzQVAgASGBQzQTdBMTIzNAA=",
    "CallReported.event": "terminate",
    "CallReported.direction": "USER_INITIATED",
    "CallReported.status": "COMPLETED",
    "CallReported.duration": 60,
    "CallReported.error_code": 138007,
    "CallReported.value": {
        "messaging_product": "whatsapp", "metadata": METADATA, "contacts": CONTACTS,
        "calls": [
            {
                "id": "wacid.HBgLMTY1MDU1NTEyMzQVAgASGBQzQTdBMTIzNAA=", "from": CUSTOMER, "to": "15550783881",
                "event": "terminate", "direction": "USER_INITIATED", "timestamp": "1767323045",
                "status": "COMPLETED", "start_time": "1767322985", "end_time": "1767323045", "duration": 60,
            }
        ],
    },
    "send_id": "7c1d2f3e-8a55-4d0c-9d4f-1f3f8f8f2a10",
    "conversation_id": "0d5a1f0e-8a55-8d0c-9d4f-1f3f8f8f2a10",
    "contacts": [CUSTOMER, USER],
    "by": "anna@shop.example",
    "note_id": "4c1d7a3e-55f0-4b7e-9d4f-1f3f8f8f2a10",
    "ConversationAssigned.agent": "ben@shop.example",
    "ConversationAssigned.bot": None,
    "ConversationAssigned.team": "orders",
    "ConversationAssigned.instead_of": None,
    "ConversationAssigned.reason": "asked",
    "ConversationAssigned.rule": None,
    "ConversationReopened.snooze": None,
    "ConversationTagged.added": ["vip"],
    "ConversationTagged.removed": ["new"],
    "NoteAdded.text": "Calls back on Monday",
    "TeamsChanged.teams": [
        {"team_id": "orders", "name": "Orders", "capacity": 10, "members": [{"sub": "ben@shop.example"}]}
    ],
    "RoutingChanged.rules": [
        {
            "name": "orders by day", "when": {
                "keywords": ["order"],
                "hours": {
                    "zone": "Europe/Berlin", "open": [{"days": ["mon", "tue"], "begin": "09:00", "end": "17:00"}],
                },
            },
            "team": "orders", "strategy": "least_open", "sticky_days": 14,
        }
    ],
    "SendRequested.kind": "template",
    "SendRequested.to": CUSTOMER,
    "SendRequested.recipient": USER,
    "SendRequested.conversation_id": "0d5a1f0e-8a55-8d0c-9d4f-1f3f8f8f2a10",
    "SendRequested.message": {
        "type": "template", "template": {"name": "order_confirmation", "language": {"code": "en_US"}},
    },
    "SendRequested.template_name": "order_confirmation",
    "SendRequested.template_language": "en_US",
    "SendRequested.label": "spring",
    "label": "spring",
    "SendRequested.metadata": "order 42",
    "SendRequested.again_of": None,
    "SendReturned.reason": "not_connected",
    "SendReturned.error_code": None,
    "MessageAccepted.message_status": "accepted",
    "MessageAccepted.kind": "template",
    "MessageAccepted.wa_id": CUSTOMER,
    "SendSettled.wa_id": CUSTOMER,
    "SendSettled.by": "status",
    "SendSettled.kind": "template",
    "MessageReported.wa_id": CUSTOMER,
    "MessageReported.user_id": USER,
    "MessageReported.kind": "template",
    "MessageReported.conversation_id": None,
    "MessageReported.message": {
        "type": "template", "template": {"name": "order_confirmation", "language": {"code": "en_US"}},
    },
    "MessageReported.template_name": "order_confirmation",
    "MessageReported.template_language": "en_US",
    "MessageReported.metadata": "order 42",
    "OptedOut.wa_id": CUSTOMER,
    "OptedOut.user_id": USER,
    "OptedOut.by": "keyword",
    "OptedIn.wa_id": CUSTOMER,
    "OptedIn.user_id": USER,
    "OptedIn.by": "api",
    "request_id": "3f0c2d86-41f1-5a0e-9b34-0a7e5b1f7a11",
    "BlockRequested.wa_id": CUSTOMER,
    "BlockRequested.user_id": USER,
    "BlockRequested.blocks": True,
    "ContactBlocked.wa_id": CUSTOMER,
    "ContactBlocked.user_id": USER,
    "ContactUnblocked.wa_id": CUSTOMER,
    "ContactUnblocked.user_id": USER,
    "BlockRefused.wa_id": CUSTOMER,
    "BlockRefused.user_id": USER,
    "BlockRefused.blocks": True,
    "BlockRefused.code": "not_written_lately",
    "BlockRefused.error_code": 131047,
    "SendRefused.stage": "graph",
    "SendRefused.code": "window_closed",
    "SendRefused.error_code": 131047,
    "SendUnknown.reason": "answer_lost",
    "Unrecognised.field": "new_field_of_meta",
    "Unrecognised.reason": "no model covers the field",
    "Unrecognised.value": {"anything": "as Meta sent it"},
    "Unrecognised.body": "eyJhbnl0aGluZyI6MX0=",
    "TemplateSyncRequested.reason": "manual",
    "TemplateSyncProgressed.fetched": 200,
    "TemplateSyncProgressed.expected": 600,
    "TemplatesSynced.added": 1,
    "TemplatesSynced.changed": 1,
    "TemplatesSynced.removed": 0,
    "TemplateSyncFailed.reason": "reconciliation",
    "TemplateSyncFailed.code": "rate_limited",
    "TemplateSyncFailed.message": "Meta allows no more requests for this account just now.",
    "TemplateSyncFailed.retry_after": 120.0,
    "TemplateSyncFailed.graph_code": 80008,
    "TemplateSyncFailed.graph_subcode": 2494102,
    "TemplateChanged.changed_field": "status",
    "Template.rejected_reason": "NONE",
    "Template.raw": {"message_send_ttl_seconds": 86400},
    "Template.other_component": {"type": "LIMITED_TIME_OFFER", "limited_time_offer": {"text": "Until Sunday"}},
    "Header.format": "TEXT",
    "Header.raw": {"type": "HEADER", "format": "TEXT", "text": "Your order is on its way"},
    "Body.text": "Hello {{1}}, your order has left us.",
    "Body.raw": {"type": "BODY", "text": "Hello {{1}}, your order has left us."},
    "Footer.raw": {"type": "FOOTER", "text": "Your order is on its way"},
    "Button.type": "URL",
    "Button.text": "Follow it",
    "Button.url": "https://shop.example.com/orders/{{1}}",
    "Button.example": "https://shop.example.com/orders/42",
    "Button.phone_number": "+15550783881",
    "Button.otp_type": "COPY_CODE",
    "Button.flow_id": "1122334455",
    "Button.flow_action": "navigate",
    "Button.navigate_screen": "ORDER",
    "Button.raw": {"type": "URL", "text": "Follow it", "url": "https://shop.example.com/orders/{{1}}"},
    "LimitedTimeOffer.text": "Until Sunday",
    "LimitedTimeOffer.raw": {"type": "LIMITED_TIME_OFFER", "limited_time_offer": {"text": "Until Sunday"}},
    "Card.raw": {"components": [{"type": "BODY", "text": "Hello {{1}}, your order has left us."}]},
    "TemplateStatusChanged.event": "REJECTED",
    "TemplateStatusChanged.reason": "INVALID_FORMAT",
    "TemplateStatusChanged.value": {"event": "REJECTED", **TEMPLATE, "reason": "INVALID_FORMAT"},
    "TemplateQualityChanged.previous_quality": "GREEN",
    "TemplateQualityChanged.new_quality": "YELLOW",
    "TemplateQualityChanged.value": {
        "previous_quality_score": "GREEN", "new_quality_score": "YELLOW", **TEMPLATE,
    },
    "TemplateCategoryChanged.previous_category": "UTILITY",
    "TemplateCategoryChanged.new_category": "MARKETING",
    "TemplateCategoryChanged.correct_category": "MARKETING",
    "TemplateCategoryChanged.value": {**TEMPLATE, "previous_category": "UTILITY", "new_category": "MARKETING"},
    "MediumStored.kind": "image",
    "MediumStored.message_id": "0c7bbd39-2f5a-5d0c-9d4f-1f3f8f8f2a10",
    "MediumStored.media_id": "5ad2c5b1-93c0-5b07-8b5e-0d3a4c1be1f4",
    "MediumStored.bytes": 303833,
    "MediumStored.sha256": "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
    "MediumStored.type_told": "image/jpeg",
    "MediumStored.type_found": "image/jpeg",
    "MediumLost.kind": "video",
    "MediumLost.message_id": "0c7bbd39-2f5a-5d0c-9d4f-1f3f8f8f2a10",
    "MediumLost.media_id": "5ad2c5b1-93c0-5b07-8b5e-0d3a4c1be1f4",
    "MediumLost.reason": "id_ended",
    "TemplateComponentsChanged.value": {**TEMPLATE, "message_template_element": "Hello {{1}}, your order has left us."},
}  # fmt: skip
